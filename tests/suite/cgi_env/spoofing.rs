//! What a client must not be able to say.

use e2e::Request;

use super::{FORKING, OF, environment, of_request, value};

#[test]
fn headers_named_like_our_variables_change_nothing() {
    // Defect 18: `Query: x` set Http_Query when there was no query, and `Host: x` set Http_Host.
    for mode in FORKING {
        let dog = environment(mode).start();
        let plain = of_request(&dog.get("/real"));
        let request = Request::get("/real")
            .header("Query", "evil")
            .header("Path", "/evil")
            .header("Method", "EVIL")
            .header("Transfer_Encoding", "evil")
            .header("Content_Length", "evil")
            .header("ContentLength", "evil");
        let seen = of_request(&dog.call(&request));
        // Only what differs from our names in letter case may be new.
        for line in &plain {
            assert!(seen.contains(line), "{mode}: {line} is gone: {seen:?}");
        }
        let ours = [
            "Http_Query=",
            "Http_Path=/e",
            "Http_Method=E",
            "Http_Transfer_Encoding=",
            "Http_Content_Length=e",
            "Http_ContentLength=e",
        ];
        for line in &seen {
            assert!(!ours.iter().any(|prefix| line.starts_with(prefix)), "{mode}: {line}");
        }
    }
}

#[test]
fn host_header_sets_no_variable_in_of_modes() {
    for mode in OF {
        let dog = environment(mode).start();
        let response = dog.call(&Request::get("/").header("Host", "evil"));
        assert_eq!(value(&response, "Http_Host"), None, "{mode}");
    }
}

#[test]
fn proxy_header_never_becomes_http_proxy() {
    // CVE-2016-5385 ("httpoxy"): many programs take HTTP_PROXY in any letter case for theirs.
    for mode in FORKING {
        let dog = environment(mode).start();
        for name in ["Proxy", "PROXY", "proxy"] {
            let request = Request::get("/").header(name, "http://evil");
            let proxies: Vec<String> = of_request(&dog.call(&request))
                .into_iter()
                .filter(|line| line.to_ascii_lowercase().starts_with("http_proxy="))
                .collect();
            assert!(proxies.is_empty(), "{mode}: {proxies:?}");
        }
    }
}
