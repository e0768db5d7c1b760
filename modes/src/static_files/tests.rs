use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes},
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use http_body_util::BodyExt as _;
use tempfile::TempDir;

use super::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const ETAG: &str = "\"b-ae1b981da166f00\"";

/// A folder, and a server of it.
struct Site {
    folder: TempDir,
    server: StaticFiles,
}

/// A response whose body was read.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let server = StaticFiles::new(Config { root, zero_copy: ZeroCopy::Auto }).unwrap();
        Self { folder, server }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn with(self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Self {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let date = httpdate::parse_http_date(DATE).unwrap();
        set_time(&path, date + Duration::from_millis(500));
        self
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.server.call(request.body(Body::empty()).unwrap(), None).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().into();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers).await
    }

    /// Asks until the answer is as it should be, which takes no longer than something is believed.
    async fn get_until(&self, path: &str, is_new: impl Fn(&Answer) -> bool) {
        let limit = Instant::now() + cache::FRESH + Duration::from_secs(5);
        while !is_new(&self.get(path, &[]).await) {
            assert!(Instant::now() < limit, "{path} stays as it was");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Answer {
    /// All headers, sorted, one a line.
    fn head(&self) -> String {
        let mut lines: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines.concat()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn set_time(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[tokio::test]
async fn a_file_is_sent_with_all_that_is_known_of_it() {
    let site = Site::new().with("a/hello.txt", "hello world");
    let answer = site.get("/a/hello.txt", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"hello world");
    assert_eq!(
        answer.head(),
        format!(
            "accept-ranges: bytes\ncontent-length: 11\ncontent-type: text/plain; charset=utf-8\n\
             etag: {ETAG}\nlast-modified: {DATE}\nx-content-type-options: nosniff\n"
        )
    );
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let large = vec![7; 100_000];
    let site =
        Site::new().with("f.txt", "text").with("f.txt.gz", "gz").with("d/x", "").with("l", large);
    for path in ["/f.txt", "/d", "/d/", "/missing", "/%zz", "/l", "/d/x"] {
        for headers in [&[][..], &[("accept-encoding", "gzip")], &[("if-none-match", "*")]] {
            let get = site.get(path, headers).await;
            let head = site.ask("HEAD", path, headers).await;
            assert_eq!(head, Answer { body: Vec::new(), ..get }, "{path} {headers:?}");
        }
    }
    let ranged = site.ask("HEAD", "/f.txt", &[("range", "bytes=1-2")]).await;
    assert_eq!((ranged.status, ranged.header("content-length")), (200, "4"));
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let site = Site::new().with("f", "text");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"] {
        for path in ["/f", "/missing", "/%zz"] {
            let answer = site.ask(method, path, &[]).await;
            assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
            assert_eq!(answer.body, b"method not allowed\n");
        }
    }
}

#[tokio::test]
async fn paths_lead_to_files_folders_and_refusals() {
    let site = Site::new()
        .with("index.html", "top")
        .with("d/index.html", "sub")
        .with("empty/x.txt", "x")
        .with("a b+c", "space")
        .with(OsStr::from_bytes(b"raw\xFF"), "raw")
        .with(".well-known/security.txt", "contact")
        .with(".env", "secret")
        .with("d/.git/config", "secret")
        .with("a:b/index.html", "colon")
        .with("index/index.html/x", "index is a folder");
    fs::write(site.folder.path().join("secret"), "secret").unwrap();
    symlink("../secret", site.root().join("out")).unwrap();
    symlink(site.root().join("d/index.html"), site.root().join("in")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, site.root().join("fifo"), rustix::fs::Mode::RWXU)
        .unwrap();
    for (path, status, body) in [
        ("/", 200, "top"),
        ("/index.html", 200, "top"),
        ("/d/", 200, "sub"),
        ("/d//", 200, "sub"),
        ("/d/index.html", 200, "sub"),
        ("//d//index.html", 200, "sub"),
        ("/a%20b+c", 200, "space"),
        ("/raw%FF", 200, "raw"),
        ("/.well-known/security.txt", 200, "contact"),
        ("/in", 200, "sub"),
        ("/index.html?q=..", 200, "top"),
        ("/d", 301, "moved permanently\n"),
        ("/empty/", 404, "not found\n"),
        ("/index/", 404, "not found\n"),
        ("/index.html/", 404, "not found\n"),
        ("/missing", 404, "not found\n"),
        ("/missing/", 404, "not found\n"),
        ("/.env", 404, "not found\n"),
        ("/d/.git/config", 404, "not found\n"),
        ("/../secret", 404, "not found\n"),
        ("/%2e%2e/secret", 404, "not found\n"),
        ("/..%2fsecret", 404, "not found\n"),
        ("/d%2findex.html", 404, "not found\n"),
        ("/out", 404, "not found\n"),
        ("/fifo", 404, "not found\n"),
        ("/a%00", 400, "malformed path\n"),
        ("/a%", 400, "malformed path\n"),
    ] {
        let answer = site.get(path, &[]).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!((answer.status, text.as_str()), (status, body), "{path}");
    }
    for (path, location) in [
        ("/d", "d/"),
        ("/d?a=1&b", "d/?a=1&b"),
        ("/index/index.html", "index.html/"),
        ("//d", "d/"),
        ("/a:b", "a%3Ab/"),
    ] {
        let answer = site.get(path, &[]).await;
        assert_eq!((answer.status, answer.header("location")), (301, location), "{path}");
    }
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_forbidden() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new().with("locked", "x");
    fs::set_permissions(site.root().join("locked"), fs::Permissions::from_mode(0o0)).unwrap();
    // Nothing is locked for root.
    let expected = if rustix::process::geteuid().is_root() { 200 } else { 403 };
    assert_eq!(site.get("/locked", &[]).await.status, expected);
}

#[tokio::test]
async fn conditions_lead_to_304_and_412() {
    let site = Site::new().with("f.txt", "hello world").with("f.txt.gz", "packed");
    let tag = site.get("/f.txt", &[]).await.header("etag").to_owned();
    let packed = site.get("/f.txt", &[("accept-encoding", "gzip")]).await.header("etag").to_owned();
    assert_eq!(tag, ETAG);
    assert_ne!(tag, packed);
    for (headers, status) in [
        (&[("if-none-match", tag.as_str())][..], 304),
        (&[("if-none-match", packed.as_str())], 200),
        (&[("if-none-match", &packed), ("accept-encoding", "gzip")], 304),
        (&[("if-none-match", &tag), ("accept-encoding", "gzip")], 200),
        (&[("if-modified-since", DATE)], 304),
        (&[("if-modified-since", DATE), ("if-none-match", "\"x\"")], 200),
        (&[("if-match", &tag)], 200),
        (&[("if-match", "\"x\"")], 412),
        (&[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], 412),
        (&[("if-none-match", &tag), ("range", "bytes=0-1")], 304),
        (&[("if-match", "\"x\""), ("range", "bytes=99-")], 412),
    ] {
        assert_eq!(site.get("/f.txt", headers).await.status, status, "{headers:?}");
    }
    let answer = site.get("/f.txt", &[("if-none-match", &tag)]).await;
    assert_eq!(
        answer.head(),
        format!("etag: {ETAG}\nlast-modified: {DATE}\nvary: Accept-Encoding\n")
    );
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn a_file_with_a_builders_time_has_no_validators() {
    let site = Site::new().with("f", "hello world");
    set_time(&site.root().join("f"), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    let answer = site.get("/f", &[("if-modified-since", DATE)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("etag"), "");
    assert_eq!(answer.header("last-modified"), "");
}

#[tokio::test]
async fn ranges_are_parts() {
    let large: Vec<u8> = (0..300_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let site = Site::new().with("f.txt", "hello world").with("large", &large).with("empty", "");
    for (path, range, status, content_range, body) in [
        ("/f.txt", "bytes=0-4", 206, "bytes 0-4/11", &b"hello"[..]),
        ("/f.txt", "bytes=6-", 206, "bytes 6-10/11", b"world"),
        ("/f.txt", "bytes=-3", 206, "bytes 8-10/11", b"rld"),
        ("/f.txt", "bytes=0-999", 206, "bytes 0-10/11", b"hello world"),
        ("/f.txt", "bytes=11-", 416, "bytes */11", b"range not satisfiable\n"),
        ("/f.txt", "bytes=-0", 416, "bytes */11", b"range not satisfiable\n"),
        ("/f.txt", "bytes=0-1,3-4", 200, "", b"hello world"),
        ("/f.txt", "lines=0-1", 200, "", b"hello world"),
        ("/empty", "bytes=0-", 200, "", b""),
        (
            "/large",
            "bytes=100000-299998",
            206,
            "bytes 100000-299998/300000",
            &large[100_000..299_999],
        ),
        ("/large", "bytes=-2", 206, "bytes 299998-299999/300000", &large[299_998..]),
    ] {
        let answer = site.get(path, &[("range", range)]).await;
        assert_eq!((answer.status, answer.header("content-range")), (status, content_range));
        assert_eq!(answer.header("content-length"), body.len().to_string(), "{path} {range}");
        assert!(answer.body == body, "{path} {range}");
    }
    assert!(site.get("/large", &[]).await.body == large);
    for (if_range, status) in [(ETAG, 206), (DATE, 206), ("\"x\"", 200)] {
        let headers = [("range", "bytes=0-1"), ("if-range", if_range)];
        assert_eq!(site.get("/f.txt", &headers).await.status, status, "{if_range}");
    }
    let stale = [("range", "bytes=99-"), ("if-range", "\"x\"")];
    assert_eq!(site.get("/f.txt", &stale).await.status, 200);
}

#[tokio::test]
async fn precompressed_siblings_are_representations_of_their_own() {
    let site = Site::new()
        .with("app.js", "the script itself")
        .with("app.js.br", "brotli")
        .with("app.js.gz", "gzipped")
        .with("index.html", "page")
        .with("index.html.zst", "zst")
        .with("only.txt.gz", "no original");
    fs::create_dir(site.root().join("index.html.gz")).unwrap();
    let script = "text/javascript; charset=utf-8";
    let page = "text/html; charset=utf-8";
    for (path, accepted, coding, content_type, body) in [
        ("/app.js", "gzip, br, zstd", "br", script, "brotli"),
        ("/app.js", "gzip", "gzip", script, "gzipped"),
        ("/app.js", "gzip;q=0.1, identity", "", script, "the script itself"),
        ("/app.js", "identity;q=0, gzip;q=0.1", "gzip", script, "gzipped"),
        ("/app.js", "", "", script, "the script itself"),
        ("/app.js", "identity;q=0", "", script, "the script itself"),
        ("/", "gzip, zstd", "zstd", page, "zst"),
        ("/", "gzip", "", page, "page"),
    ] {
        let answer = site.get(path, &[("accept-encoding", accepted)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-encoding"), coding, "{path} {accepted}");
        assert_eq!(answer.header("content-type"), content_type, "{path} {accepted}");
        assert_eq!(answer.header("vary"), "Accept-Encoding", "{path} {accepted}");
        assert_eq!(String::from_utf8(answer.body).unwrap(), body, "{path} {accepted}");
    }
    let part = site.get("/app.js", &[("accept-encoding", "br"), ("range", "bytes=1-3")]).await;
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 1-3/6"));
    assert_eq!(part.body, b"rot");

    let itself = site.get("/app.js.gz", &[("accept-encoding", "gzip")]).await;
    assert_eq!(itself.header("content-type"), "application/gzip");
    assert_eq!((itself.header("content-encoding"), itself.header("vary")), ("", ""));
    assert_eq!(itself.body, b"gzipped");
    assert_eq!(site.get("/only.txt", &[("accept-encoding", "gzip")]).await.status, 404);
}

#[tokio::test]
async fn a_mounted_config_map_is_served_and_follows_its_updates() {
    let site = Site::new().with("..v1/page.html", "one").with("..v2/page.html", "two");
    symlink("..v1", site.root().join("..data")).unwrap();
    symlink("..data/page.html", site.root().join("page.html")).unwrap();
    assert_eq!(site.get("/page.html", &[]).await.body, b"one");
    symlink("..v2", site.root().join("..next")).unwrap();
    fs::rename(site.root().join("..next"), site.root().join("..data")).unwrap();
    site.get_until("/page.html", |answer| answer.body == b"two").await;
    assert_eq!(site.get("/..data/page.html", &[]).await.status, 404);
}

#[test]
fn a_root_that_cannot_be_served_says_which_and_why() {
    let error =
        StaticFiles::new(Config { root: "/nowhere/at/all".into(), zero_copy: ZeroCopy::Auto })
            .unwrap_err();
    assert_eq!(
        error.to_string(),
        "static_path /nowhere/at/all: No such file or directory (os error 2)"
    );
}
