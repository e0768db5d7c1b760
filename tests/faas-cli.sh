#!/bin/sh
# tests/faas-cli.sh FAAS_CLI GATEWAY_LITE [process|docker]: drives a gateway with the real client, whose
# binary is given, and checks what it says. With processes an image is a directory; containers need an
# engine with the image kennel/alpine (.ci/docker makes both).
set -eu
cli=$(realpath "$1") gateway=$(realpath "$2") provider=${3:-process}
work=$(mktemp -d)
HOME=$work/home OPENFAAS_CONFIG=$work/home/.openfaas OPENFAAS_URL= TERM=dumb
export HOME OPENFAAS_CONFIG OPENFAAS_URL TERM
mkdir -p "$HOME" "$work/fn"
cd "$work"
case $provider in
process)
    image=$work/fn nowhere=$work/nowhere
    # Secrets are where a variable says.
    reads='sh read.sh'
    # The client appends a tag to an image in a stack file that has none.
    tagged=$work/fn:latest
    ;;
docker)
    image=kennel/alpine:latest nowhere=127.0.0.1:1/nowhere:latest
    reads='cat /var/openfaas/secrets/api-key'
    tagged=$image
    ;;
*)
    echo "no provider is called $provider: process, docker" >&2
    exit 2
    ;;
esac
network=faas-cli-$$

provider=$provider docker_network=$network data_dir=$work/data port=0 metrics_port=0 "$gateway" serve >gateway.log 2>&1 &
pid=$!
finish() {
    status=$?
    [ "$status" = 0 ] || { echo "--- the gateway's log" >&2; tail -n 30 gateway.log >&2; }
    # Functions outlive the gateway: all of them are removed first.
    for namespace in openfaas-fn other; do
        "$cli" list -q -n $namespace 2>/dev/null | while read -r name; do
            "$cli" remove "$name" -n $namespace >/dev/null 2>&1 || :
        done
    done
    kill "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
    [ "$provider" = process ] || docker network rm "$network" >/dev/null 2>&1 || :
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT INT TERM
for _ in $(seq 200); do
    address=$(sed -n 's/.*Listening on \(127.0.0.1:[0-9]*\).*/\1/p' gateway.log)
    [ -z "$address" ] || break
    sleep 0.05
done
OPENFAAS_URL=http://$address

fail() {
    echo "FAILED: faas-cli $*" >&2
    cat output >&2
    exit 1
}
# ok ARGUMENTS...: succeeds.
ok() { timeout 70 "$cli" "$@" >output 2>&1 </dev/null || fail "$@"; }
# refused ARGUMENTS...: does not.
refused() { if timeout 70 "$cli" "$@" >output 2>&1 </dev/null; then fail "$@ (succeeded)"; fi; }
# says TEXT...: all of them are in the output of the last one.
says() { for text; do grep -qiF -- "$text" output || fail "... does not say: $text"; done; }
silent() { for text; do ! grep -qiF -- "$text" output || fail "... says: $text"; done; }
# invoked INPUT EXPECTED ARGUMENTS...
invoked() {
    input=$1 expected=$2
    shift 2
    printf %s "$input" | timeout 70 "$cli" invoke "$@" >output 2>&1 || fail invoke "$@"
    [ "$(cat output)" = "$expected" ] || fail invoke "$@ (not $expected)"
}

refused list; says 'run "faas-cli login"'
refused login -p wrong; says 'either username or password is incorrect'
"$cli" login -s <data/basic-auth-password >output 2>&1 || fail login
says 'credentials saved for admin'
ok version --warn-update=false; says "name:          $provider" "uri:     $OPENFAAS_URL"
ok version --json --warn-update=false; says '"orchestration"'
ok ready; says 'OpenFaaS gateway is ready'

ok deploy --image "$image" --name shout --fprocess 'tr a-z A-Z' --env A=b=c --label team=x \
    --annotation note=hi --memory-limit 64Mi --cpu-limit 100m --memory-request 5Mi --constraint a=b
says 'Deployed. 20' "$OPENFAAS_URL/function/shout"
ok ready shout; says 'Function shout is ready'
invoked hello HELLO shout
invoked hello HELLO shout --header "X-A: b" --query a=b --content-type text/plain --method PUT
ok list; says shout
ok list --verbose; says "$image" "$(date -u +%Y-)"
ok list --quiet; [ "$(cat output)" = shout ] || fail list --quiet
ok list --json; says '"A": "b=c"' '"memory": "64Mi"' '"cpu": "100m"'
ok describe shout
says 'Ready' 'tr a-z A-Z' 'team: x' 'note: hi' 'A: b=c' 'Memory: 64Mi' 'CPU: 100m' 'RAM:'
for _ in $(seq 100); do
    ok describe shout
    ! grep -q 'Invocations: *2$' output || break
done
says 'Invocations:        2'
refused describe nobody; says 'No such function: nobody'
ok logs shout --tail=false; says 'POST / - 200'
ok logs shout --tail=false --lines 1 --output json; [ "$(wc -l <output)" = 1 ] || fail logs --lines 1
ok logs shout --tail=false --since 1h --name --instance; says 'shout'
refused deploy --image "$nowhere" --name wrong; says "$nowhere"
refused deploy --image "$image" --name Wrong; says Wrong
refused deploy --image "$image" --name wrong --fprocess cat --secret nope; says 'nope' 'secret create nope'
# An update: the client sends PUT first.
ok deploy --image "$image" --name shout --fprocess 'tr a-z 0'
invoked a 0 shout
ok deploy --image "$image" --name shout --fprocess cat --replace --update=false
invoked a a shout

ok secret create api-key --from-literal=abc; says 'Created: 20'
ok secret create api-key --from-literal=abc; says 'already exists'
ok secret create api-key --from-literal=def --replace; says 'Updated: 20'
ok secret update api-key --from-literal=ghi; says 'Updated: 20'
printf '\000\377' >bytes
ok secret create raw --from-file=bytes; says 'Created: 20'
ok secret list; says api-key raw; silent ghi
printf 'cat "$secret_mount_path/api-key"\n' >fn/read.sh
ok deploy --image "$image" --name reads --fprocess "$reads" --secret api-key
invoked '' ghi reads
ok secret remove raw; says 'Removed.. OK.'
refused secret remove raw; says 'nable to find secret: raw'
mkdir .secrets
printf applied >.secrets/api-key
ok secret apply
ok secret list; says api-key

ok namespace create other; says 'Namespace Created: other'
refused namespace create other; says 409
ok namespace list; says '- other' '- openfaas-fn'
ok namespace update other --label a=b; says 'Namespace Updated: other'
ok namespace get other; says 'a: b'
ok deploy --image "$image" --name shout --fprocess 'tr a-z A-Z' --namespace other
ok ready shout --namespace other
invoked x X shout --namespace other
invoked x x shout
ok list --namespace other; says shout; silent reads
ok describe shout --namespace other; says 'tr a-z A-Z'
ok logs shout --namespace other --tail=false; says 'POST /'
ok secret create k --namespace other --from-literal=1; says 'Created: 20'
ok secret list --namespace other; says k; silent api-key
ok secret remove k --namespace other; says 'Removed.. OK.'
refused namespace remove other
ok remove shout --namespace other; says 'Removing old function.'
ok namespace remove other; says 'Namespace Removed: other'
ok namespace list; silent other

printf '{"version":"0.2.1","functions":[{"title":"Upper case","name":"upper","description":"d","author":"a",
"images":{"x86_64":"%s","arm64":"%s"},"fprocess":"tr a-z A-Z","repo_url":"r","environment":{"write_timeout":"10s"},
"labels":{"from":"store"}}]}' "$image" "$image" >store.json
python3 -m http.server --bind 127.0.0.1 0 >store.log 2>&1 &
store=$!
for _ in $(seq 200); do
    url=$(sed -n 's/.*(\(http:[^)]*\)).*/\1/p' store.log)
    [ -z "$url" ] || break
    sleep 0.05
done
OPENFAAS_STORE=${url}store.json
export OPENFAAS_STORE
store() { ok store "$@"; }
store list; says 'upper'
store deploy upper; says 'Deployed. 20'
kill "$store"
ok ready upper
invoked x X upper
ok describe upper; says 'from: store' 'write_timeout: 10s'

cat >stack.yaml <<STACK
version: 1.0
provider:
  name: openfaas
  gateway: $OPENFAAS_URL
functions:
  from-stack:
    lang: dockerfile
    handler: ./fn
    image: ${tagged%:latest}
    skip_build: true
    fprocess: cat
    environment:
      A: "1"
    labels:
      l: "2"
    limits:
      memory: 64Mi
STACK
mkdir -p template/dockerfile
echo "language: dockerfile" >template/dockerfile/template.yml
cp -r fn fn:latest
ok deploy -f stack.yaml; says 'Deployed. 20'
invoked x x from-stack
if "$cli" diff --help >/dev/null 2>&1; then
    ok diff -f stack.yaml; says 'no differences'
    sed -i 's/A: "1"/A: "2"/' stack.yaml
    refused diff -f stack.yaml; says 'A'
fi
ok up -f stack.yaml --skip-push; says 'Deployed. 20'
ok remove -f stack.yaml; says 'Removing old function.'
rm stack.yaml
for name in upper reads shout; do ok remove $name; says 'Removing old function.'; done
refused remove shout; says 'No existing function to remove'
ok list --quiet; [ ! -s output ] || fail list --quiet
ok logout; refused list
echo "faas-cli: everything works (provider $provider)"
