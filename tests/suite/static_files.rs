//! mode=static: files below one folder, and nothing else of the machine.

mod edges;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use e2e::{Request, Response, Watchdog, play::pattern};

use crate::watchdog;

/// A watchdog that serves a folder `fill` has put files into. Next to it lies `secret.txt`.
fn site(fill: impl FnOnce(&Path)) -> Watchdog {
    let launch = watchdog().mode("static");
    let root = launch.temp_dir().join("public");
    fs::create_dir(&root).unwrap();
    launch.write("secret.txt", "secret");
    fill(&root);
    launch.env("static_path", &root).start()
}

fn put(root: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// Sets a modification time that is not of today, as files that were deployed have it.
fn age(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

/// `age` as a date of HTTP.
const AGED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

#[track_caller]
fn assert_text(response: &Response, status: u16, text: &str) {
    assert_eq!((response.status(), response.text().as_str()), (status, text));
}

/// Waits until a change of the folder shows: what was learnt of a file is believed for a second.
#[track_caller]
fn seen(dog: &Watchdog, path: &str, status: u16, text: &str) {
    e2e::eventually(e2e::DEADLINE, "the change to be seen", || {
        let response = dog.get(path);
        response.status() == status && response.text() == text
    });
}

#[test]
fn file_is_served_without_a_function() {
    let dog = site(|root| drop(put(root, "a/hello.txt", "hello")));
    let response = dog.get("/a/hello.txt?version=2");
    assert_text(&response, 200, "hello");
    assert_eq!(response.header("content-length"), Some("5"));
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("accept-ranges"), Some("bytes"));
    assert!(dog.children().is_empty());
    assert_eq!(dog.get("/_/ready").status(), 200);
}

#[test]
fn names_are_decoded_once() {
    let dog = site(|root| {
        put(root, "a b+c.txt", "space");
        put(root, "caf\u{e9}.txt", "utf-8");
        put(root, "%41.txt", "percent");
    });
    assert_text(&dog.get("/a%20b+c.txt"), 200, "space");
    assert_text(&dog.get("/caf%C3%A9.txt"), 200, "utf-8");
    assert_text(&dog.get("/%2541.txt"), 200, "percent");
    assert_eq!(dog.get("/%41.txt").status(), 404);
}

#[test]
fn missing_file_is_404() {
    let dog = site(|root| drop(put(root, "a.txt", "a")));
    for path in ["/b.txt", "/a.txt/", "/a.txt/b", "/A.TXT", "/nowhere/"] {
        let response = dog.get(path);
        assert_eq!(response.status(), 404, "{path}");
        assert!(response.is_complete());
    }
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let dog = site(|root| drop(put(root, "a.txt", "hello")));
    let mut client = dog.connect();
    let head = client.call(&Request::new("HEAD", "/a.txt"));
    assert_eq!((head.status(), head.body.len()), (200, 0));
    let get = client.call(&Request::get("/a.txt"));
    assert_text(&get, 200, "hello");
    for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(client.call(&Request::new("HEAD", "/none")).status(), 404);
}

/// Go's file server answers any method with the file.
#[test]
fn other_methods_are_405() {
    let dog = site(|root| drop(put(root, "a.txt", "hello")));
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
        let response = dog.call(&Request::new(method, "/a.txt"));
        assert_eq!(response.status(), 405, "{method}");
        let allow = response.header("allow").unwrap_or_default();
        let mut allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD"]);
    }
}

#[test]
fn refused_upload_leaves_the_server_usable() {
    let dog = site(|root| drop(put(root, "a.txt", "hello")));
    assert_eq!(dog.post("/a.txt", vec![b'x'; 100_000]).status(), 405);
    let body = Request::get("/a.txt").body("unexpected");
    assert_text(&dog.call(&body), 200, "hello");
}

#[test]
fn folder_serves_its_index() {
    let dog = site(|root| {
        put(root, "index.html", "<p>top");
        put(root, "sub/index.html", "<p>sub");
    });
    let response = dog.get("/");
    assert_text(&response, 200, "<p>top");
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    assert_text(&dog.get("/sub/"), 200, "<p>sub");
    assert_text(&dog.get("/sub/index.html"), 200, "<p>sub");
}

#[test]
fn folder_without_slash_redirects_and_keeps_the_query() {
    let dog = site(|root| drop(put(root, "sub/index.html", "<p>sub")));
    for (path, location) in [("/sub", "sub/"), ("/sub?a=b&c", "sub/?a=b&c"), ("//sub", "sub/")] {
        let response = dog.get(path);
        assert_eq!(response.status(), 301, "{path}");
        // Relative or absolute, but never to another host.
        let found = response.header("location").unwrap();
        assert!(found == location || found == format!("/{location}"), "{path}: {found}");
    }
}

/// Go's file server lists the folder.
#[test]
fn folder_without_index_is_404_and_never_listed() {
    let dog = site(|root| drop(put(root, "sub/private-name.txt", "x")));
    for path in ["/", "/sub/"] {
        let response = dog.get(path);
        assert_eq!(response.status(), 404, "{path}");
        assert!(!response.text().contains("private-name"));
    }
}

/// Go's file server serves them.
#[test]
fn dot_files_are_404() {
    let dog = site(|root| {
        put(root, ".env", "SECRET=1");
        put(root, ".git/config", "secret");
        put(root, "sub/.htpasswd", "secret");
        put(root, ".well-known/acme", "public");
    });
    for path in ["/.env", "/%2eenv", "/.git/config", "/.git/", "/.git", "/sub/.htpasswd"] {
        assert_eq!(dog.get(path).status(), 404, "{path}");
    }
    // RFC 8615.
    assert_text(&dog.get("/.well-known/acme"), 200, "public");
}

#[test]
fn no_path_leads_out_of_the_root() {
    let dog = site(|root| drop(put(root, "sub/a.txt", "a")));
    for path in [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/.%2E/secret.txt",
        "/..%2Fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "//../secret.txt",
        "/./../secret.txt",
        "/sub%2Fa.txt",
        "/../../../../../../../../etc/passwd",
        "//etc/passwd",
        "/..",
        "/../",
        "/sub/..",
    ] {
        let response = dog.get(path);
        assert!(matches!(response.status(), 400 | 404), "{path}: {response:?}");
        assert!(
            !response.text().contains("secret") && !response.text().contains("root:"),
            "{path}"
        );
    }
}

#[test]
fn impossible_names_are_refused() {
    let dog = site(|root| drop(put(root, "a", "a")));
    for path in ["/a%00", "/a%00.html", "/%", "/%zz", "/a%4"] {
        assert_eq!(dog.get(path).status(), 400, "{path}");
    }
    let long = format!("/{}", "a".repeat(5000));
    assert_eq!(dog.get(&long).status(), 404);
    let deep = "/a".repeat(3000);
    assert_eq!(dog.get(&deep).status(), 404);
    assert_text(&dog.get("/a"), 200, "a");
}

#[test]
fn links_are_followed_below_the_root_only() {
    let dog = site(|root| {
        put(root, "real/a.txt", "a");
        symlink("real/a.txt", root.join("inside")).unwrap();
        symlink("real", root.join("folder")).unwrap();
        symlink("../secret.txt", root.join("outside")).unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        symlink("..", root.join("parent")).unwrap();
        symlink("/proc/self/environ", root.join("environment")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
    });
    assert_text(&dog.get("/inside"), 200, "a");
    assert_text(&dog.get("/folder/a.txt"), 200, "a");
    for path in
        ["/outside", "/absolute", "/parent/secret.txt", "/environment", "/loop", "/dangling"]
    {
        assert_eq!(dog.get(path).status(), 404, "{path}");
    }
}

#[test]
fn special_files_are_404_and_hang_nobody() {
    let dog = site(|root| {
        put(root, "a.txt", "a");
        let fifo = Command::new("mkfifo").arg(root.join("fifo")).status().unwrap();
        assert!(fifo.success());
        let socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        drop(socket);
    });
    for _ in 0..20 {
        assert_eq!(dog.get("/fifo").status(), 404);
    }
    assert_eq!(dog.get("/socket").status(), 404);
    assert_text(&dog.get("/a.txt"), 200, "a");
}

#[test]
fn extension_decides_the_content_type() {
    let files = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.PNG", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.pdf", "application/pdf"),
        ("a.unheard-of", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
    ];
    let dog = site(|root| {
        for (name, _) in files {
            put(root, name, "<html>");
        }
    });
    for (name, expected) in files {
        assert_eq!(dog.get(&format!("/{name}")).header("content-type"), Some(expected), "{name}");
    }
}

#[test]
fn unchanged_file_is_304() {
    let dog = site(|root| age(&put(root, "a.txt", "hello")));
    let first = dog.get("/a.txt");
    assert_eq!(first.header("last-modified"), Some(AGED));
    let etag = first.header("etag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let mut client = dog.connect();
    for (name, value) in [
        ("If-None-Match", etag.clone()),
        ("If-None-Match", format!("\"other\", W/{etag}")),
        ("If-None-Match", "*".to_owned()),
        ("If-Modified-Since", AGED.to_owned()),
        ("If-Modified-Since", "Wed, 15 Nov 2023 00:00:00 GMT".to_owned()),
    ] {
        let response = client.call(&Request::get("/a.txt").header(name, &value));
        assert_eq!(response.status(), 304, "{name}: {value}");
        assert!(response.body.is_empty());
        assert_eq!(response.header("etag"), Some(&*etag));
    }
    for (name, value) in [
        ("If-None-Match", "\"other\""),
        ("If-Modified-Since", "Mon, 13 Nov 2023 00:00:00 GMT"),
        ("If-Modified-Since", "yesterday"),
    ] {
        let response = client.call(&Request::get("/a.txt").header(name, value));
        assert_text(&response, 200, "hello");
    }
    // RFC 9110 section 13.1.3: the entity tag wins.
    let both = Request::get("/a.txt")
        .header("If-None-Match", "\"other\"")
        .header("If-Modified-Since", AGED);
    assert_eq!(client.call(&both).status(), 200);
    let head = Request::new("HEAD", "/a.txt").header("If-None-Match", &etag);
    assert_eq!(client.call(&head).status(), 304);
}

#[test]
fn changed_file_has_another_entity_tag() {
    let dog = site(|root| age(&put(root, "a.txt", "hello")));
    let old = dog.get("/a.txt").header("etag").unwrap().to_owned();
    let path = dog.temp_dir().join("public/a.txt");
    fs::write(&path, "changed").unwrap();
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_060);
    fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
    seen(&dog, "/a.txt", 200, "changed");
    let response = dog.call(&Request::get("/a.txt").header("If-None-Match", &old));
    assert_text(&response, 200, "changed");
    assert_ne!(response.header("etag"), Some(&*old));
}

#[test]
fn failed_precondition_is_412() {
    let dog = site(|root| age(&put(root, "a.txt", "hello")));
    for (name, value) in
        [("If-Match", "\"other\""), ("If-Unmodified-Since", "Mon, 13 Nov 2023 00:00:00 GMT")]
    {
        assert_eq!(dog.call(&Request::get("/a.txt").header(name, value)).status(), 412, "{name}");
    }
    let same = dog.call(&Request::get("/a.txt").header("If-Unmodified-Since", AGED));
    assert_text(&same, 200, "hello");
}

#[test]
fn range_is_206() {
    let dog = site(|root| age(&put(root, "a.txt", "0123456789")));
    for (range, content, text) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=5-999", "bytes 5-9/10", "56789"),
        ("bytes=-999", "bytes 0-9/10", "0123456789"),
    ] {
        let response = dog.call(&Request::get("/a.txt").header("Range", range));
        assert_text(&response, 206, text);
        assert_eq!(response.header("content-range"), Some(content));
        assert_eq!(response.header("content-length"), Some(&*text.len().to_string()));
        assert!(response.header("content-type").unwrap().starts_with("text/plain"));
    }
}

#[test]
fn range_behind_the_end_is_416() {
    let dog = site(|root| drop(put(root, "a.txt", "0123456789")));
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let response = dog.call(&Request::get("/a.txt").header("Range", range));
        assert_eq!(response.status(), 416, "{range}");
        assert_eq!(response.header("content-range"), Some("bytes */10"));
    }
}

#[test]
fn range_that_makes_no_sense_is_ignored() {
    let dog = site(|root| age(&put(root, "a.txt", "0123456789")));
    for range in ["bytes=4-2", "lines=1-2", "bytes=a-b", "bytes", ""] {
        let response = dog.call(&Request::get("/a.txt").header("Range", range));
        assert_text(&response, 200, "0123456789");
    }
    // RFC 9110 section 14.2: only GET has ranges.
    let head = dog.call(&Request::new("HEAD", "/a.txt").header("Range", "bytes=0-1"));
    assert_eq!((head.status(), head.header("content-length")), (200, Some("10")));
}

#[test]
fn range_of_another_version_is_the_whole_file() {
    let dog = site(|root| age(&put(root, "a.txt", "0123456789")));
    let etag = dog.get("/a.txt").header("etag").unwrap().to_owned();
    let range = Request::get("/a.txt").header("Range", "bytes=0-1");
    assert_text(&dog.call(&range.clone().header("If-Range", &etag)), 206, "01");
    assert_text(&dog.call(&range.header("If-Range", "\"other\"")), 200, "0123456789");
}

#[test]
fn precompressed_sibling_is_served_to_who_takes_it() {
    let dog = site(|root| {
        put(root, "app.js", "plain");
        put(root, "app.js.gz", "as gzip");
        put(root, "app.js.br", "as brotli");
        put(root, "alone.js", "alone");
    });
    for (accept, coding, text) in [
        ("gzip", Some("gzip"), "as gzip"),
        ("gzip, br", Some("br"), "as brotli"),
        ("br;q=0.1, gzip;q=0.9", Some("gzip"), "as gzip"),
        ("gzip;q=0", None, "plain"),
        ("identity", None, "plain"),
        ("zstd", None, "plain"),
        ("", None, "plain"),
    ] {
        let response = dog.call(&Request::get("/app.js").header("Accept-Encoding", accept));
        assert_text(&response, 200, text);
        assert_eq!(response.header("content-encoding"), coding, "{accept}");
        assert_eq!(response.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert!(response.head.says("vary", "accept-encoding"), "{accept}");
    }
    let bare = dog.get("/app.js");
    assert_text(&bare, 200, "plain");
    assert!(bare.head.says("vary", "accept-encoding"));
    let alone = dog.call(&Request::get("/alone.js").header("Accept-Encoding", "gzip"));
    assert_text(&alone, 200, "alone");
    assert_eq!(alone.header("content-encoding"), None);
    // Asked for by its own name it is a file like any other.
    let file = dog.get("/app.js.gz");
    assert_eq!((file.text().as_str(), file.header("content-encoding")), ("as gzip", None));
}

#[test]
fn each_coding_has_its_own_entity_tag() {
    let dog = site(|root| {
        age(&put(root, "a.js", "same size"));
        age(&put(root, "a.js.gz", "SAME SIZE"));
    });
    let plain = dog.get("/a.js").header("etag").unwrap().to_owned();
    let gzip = Request::get("/a.js").header("Accept-Encoding", "gzip");
    let coded = dog.call(&gzip).header("etag").unwrap().to_owned();
    assert_ne!(plain, coded);
    assert_eq!(dog.call(&gzip.clone().header("If-None-Match", &coded)).status(), 304);
    assert_eq!(dog.call(&gzip.header("If-None-Match", &plain)).status(), 200);
}

#[test]
fn large_file_arrives_byte_for_byte() {
    const SIZE: usize = 20 * 1024 * 1024;
    let content = pattern(SIZE);
    let dog = site(|root| drop(put(root, "large.bin", &content)));
    let response = dog.get("/large.bin");
    assert_eq!(response.header("content-length"), Some("20971520"));
    assert!(response.is_complete() && response.body == content, "the bytes changed");
    let part = dog.call(&Request::get("/large.bin").header("Range", "bytes=1000000-15000000"));
    assert!(part.status() == 206 && part.body == content[1_000_000..=15_000_000]);
    let peak = dog.peak_rss_kb();
    assert!(peak < 32 * 1024, "{peak} kB of memory");
}

#[test]
fn empty_file_is_served() {
    let dog = site(|root| drop(put(root, "empty.txt", "")));
    let response = dog.get("/empty.txt");
    assert_text(&response, 200, "");
    assert_eq!(response.header("content-length"), Some("0"));
}

#[test]
fn file_that_changes_is_served_anew() {
    let dog = site(|root| drop(put(root, "a.txt", "one")));
    assert_text(&dog.get("/a.txt"), 200, "one");
    fs::write(dog.temp_dir().join("public/a.txt"), "second").unwrap();
    seen(&dog, "/a.txt", 200, "second");
    fs::remove_file(dog.temp_dir().join("public/a.txt")).unwrap();
    seen(&dog, "/a.txt", 404, "not found\n");
}

#[test]
fn served_files_leave_no_descriptors() {
    let dog = site(|root| {
        put(root, "a.bin", pattern(1_000_000));
        put(root, "sub/index.html", "x");
    });
    assert_eq!(dog.get("/a.bin").status(), 200);
    let files =
        |dog: &Watchdog| dog.open_fds().iter().filter(|target| target.contains("/public/")).count();
    for path in ["/a.bin", "/sub", "/sub/", "/none", "/../x"] {
        let _ = dog.get(path);
    }
    // A client that leaves in the middle.
    let mut client = dog.connect();
    client.send(Request::get("/a.bin").to_bytes());
    client.read_head();
    client.reset();
    e2e::eventually(e2e::DEADLINE, "every file to be closed", || files(&dog) == 0);
}

#[test]
fn calls_are_counted_and_logged() {
    let launch = watchdog().mode("static").metrics();
    let root = launch.temp_dir().join("public");
    fs::create_dir(&root).unwrap();
    put(&root, "a.txt", "hello");
    let dog = launch.env("static_path", &root).start();
    assert_eq!(dog.get("/a.txt").status(), 200);
    // Another connection has another loop, which may be quicker with its line.
    dog.wait_for_access_lines(1);
    assert_eq!(dog.get("/b.txt").status(), 404);
    let lines = dog.wait_for_access_lines(2);
    assert!(lines[0].contains("GET /a.txt - 200 - "), "{lines:?}");
    assert!(lines[1].contains("GET /b.txt - 404 - "), "{lines:?}");
    e2e::eventually(e2e::DEADLINE, "both calls to be counted", || {
        dog.metrics().requests(200, "get") >= 1.0 && dog.metrics().requests(404, "get") >= 1.0
    });
}

/// The of-watchdog starts and answers 404 to everything.
#[test]
fn root_that_is_no_folder_fails_the_start() {
    for name in ["missing", "file"] {
        let mut launch = watchdog().mode("static");
        launch.write("file", "");
        let root = launch.temp_dir().join(name);
        launch = launch.env("static_path", &root);
        let ended = launch.spawn_expecting_exit();
        assert!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
        assert!(ended.stderr.contains("static_path"), "{}", ended.stderr);
        assert!(!launch.temp_dir().join(".lock").exists());
    }
}

#[test]
fn empty_static_path_fails_the_start() {
    let ended = watchdog().mode("static").env("static_path", "").spawn_expecting_exit();
    assert!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.stderr.contains("static_path"), "{}", ended.stderr);
}
