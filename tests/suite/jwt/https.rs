//! The key set at an https address: whom the watchdog believes, and what it says of the others.

use std::{fs, thread};

use e2e::{
    DEADLINE, Launch, eventually,
    issuer::{Algorithm, Authority, HOST, Issuer, Turn},
};

use super::{assert_unauthorized, call, guarded};

/// Trusts what the file says, and nobody else.
fn trusting(pem: &str) -> Launch {
    let launch = guarded("serializing");
    let file = launch.write("authorities.pem", pem);
    launch.env("SSL_CERT_FILE", file)
}

/// The same with a directory of such files.
fn trusting_directory(pem: &str) -> Launch {
    let launch = guarded("serializing");
    let directory = launch.temp_dir().join("authorities");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("0a1b2c3d.0"), pem).unwrap();
    launch.env("SSL_CERT_DIR", directory)
}

#[test]
fn keys_from_a_trusted_https_address_guard() {
    let Some(turn) = Turn::take("keys_from_a_trusted_https_address_guard") else { return };
    let authority = Authority::new("Good authority");
    let issuer = Issuer::start_over_https(&turn, [authority.vouch_for(HOST)]);
    issuer.add_key("k2", Algorithm::Rs256);
    let others = Authority::new("Another authority").pem() + &authority.pem();
    for (fetches, launch) in
        [trusting(&authority.pem()), trusting(&others), trusting_directory(&authority.pem())]
            .into_iter()
            .enumerate()
    {
        assert_eq!(issuer.key_fetches(), fetches);
        let dog = launch.start();
        assert_eq!(issuer.key_fetches(), fetches + 1, "asked once, at the https address");
        assert_unauthorized(&dog.post("/", ""), "no token");
        for id in ["k1", "k2"] {
            let claims = issuer.claims("ns1:fn");
            assert_eq!(call(&dog, &issuer.token(id, &claims)).status(), 200, "{}", dog.log());
            assert_unauthorized(&call(&dog, &issuer.forged_token(id, &claims)), id);
        }
    }
}

#[test]
fn issuer_with_tls_of_version_12_is_understood() {
    let Some(turn) = Turn::take("issuer_with_tls_of_version_12_is_understood") else { return };
    let authority = Authority::new("Good authority");
    let issuer = Issuer::start_over_https(&turn, [authority.vouch_for(HOST).over_tls12()]);
    let dog = trusting(&authority.pem()).start();
    let token = issuer.token("k1", &issuer.claims("ns1:fn"));
    assert_eq!(call(&dog, &token).status(), 200, "{}", dog.log());
}

#[test]
fn issuer_that_nobody_trusted_vouches_for_fails_the_start() {
    let Some(turn) = Turn::take("issuer_that_nobody_trusted_vouches_for_fails_the_start") else {
        return;
    };
    let authority = Authority::new("Good authority");
    let issuer = Issuer::start_over_https(&turn, [authority.vouch_for(HOST)]);
    let missing = guarded("serializing");
    let nowhere = missing.temp_dir().join("nowhere.pem");
    let cases = [
        (trusting(&Authority::new("Another authority").pem()), "certificate: UnknownIssuer"),
        // The name of an authority is nothing without its key.
        (trusting(&Authority::new("Good authority").pem()), "certificate: BadSignature"),
        (trusting_directory(""), "no certificate authorities on this system"),
        (missing.env("SSL_CERT_FILE", nowhere), "no certificate authorities on this system: "),
    ];
    thread::scope(|scope| {
        for (mut launch, problem) in cases {
            let url = issuer.keys_url();
            scope.spawn(move || {
                let ended = launch.spawn_expecting_exit();
                assert!(ended.code().is_some_and(|code| code != 0), "{problem}: {ended:?}");
                let last = ended.stderr.lines().last().unwrap_or_default();
                assert!(last.contains(&format!("cannot fetch {url} (5 tries)")), "{last}");
                assert!(last.contains("cannot establish TLS: "), "{last}");
                assert!(last.contains(problem), "{problem}: {last}");
                assert!(!launch.temp_dir().join(".lock").exists());
            });
        }
    });
    assert_eq!(issuer.key_fetches(), 0, "no word before the certificate is believed");
}

/// The start goes on trying, and meets a different certificate each time.
#[test]
fn certificate_that_does_not_fit_is_refused_until_one_does() {
    let Some(turn) = Turn::take("certificate_that_does_not_fit_is_refused_until_one_does") else {
        return;
    };
    let authority = Authority::new("Good authority");
    let issuer = Issuer::start_over_https(
        &turn,
        [
            authority.vouch_for("issuer.example"),
            authority.vouch_by_common_name_for(HOST),
            authority.vouch_in_the_past_for(HOST),
            authority.vouch_for(HOST),
        ],
    );
    let dog = trusting(&authority.pem()).start();
    assert_eq!(issuer.key_fetches(), 1);
    let log = dog.stderr();
    let tries: Vec<&str> = log.lines().filter(|line| line.contains("cannot fetch")).collect();
    assert_eq!(tries.len(), 3, "{log}");
    for (line, problem) in tries.iter().zip([
        "certificate: certificate not valid for name \"localhost\"",
        "certificate: certificate not valid for name \"localhost\"",
        "certificate: certificate expired",
    ]) {
        assert!(line.contains(&issuer.keys_url()), "{line}");
        assert!(line.contains("cannot establish TLS: ") && line.contains(problem), "{line}");
    }
    let token = issuer.token("k1", &issuer.claims("ns1:fn"));
    assert_eq!(call(&dog, &token).status(), 200, "{}", dog.log());
}

/// The keys are asked for again with the authorities of that time: theirs expire, too.
#[test]
fn new_authority_is_trusted_without_a_restart() {
    let Some(turn) = Turn::take("new_authority_is_trusted_without_a_restart") else { return };
    let old = Authority::new("Old authority");
    let issuer = Issuer::start_over_https(&turn, [old.vouch_for(HOST)]);
    let dog = trusting(&old.pem()).start();
    let claims = issuer.claims("ns1:fn");
    let known = issuer.token("k1", &claims);
    assert_eq!(call(&dog, &known).status(), 200, "{}", dog.log());

    let new = Authority::new("New authority");
    issuer.identify([new.vouch_for(HOST)]);
    fs::write(dog.temp_dir().join("authorities.pem"), new.pem()).unwrap();
    issuer.add_key("k2", Algorithm::Rs256);
    let token = issuer.token("k2", &claims);
    eventually(DEADLINE, "the new key to be known", || call(&dog, &token).status() == 200);
    assert_eq!(call(&dog, &known).status(), 200);
}
