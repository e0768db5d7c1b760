//! Variables as large as the kernel takes them, and larger.

use e2e::Request;

use super::{FORKING, environment, of_request, value};

#[test]
fn header_of_100_kib_arrives_whole() {
    for mode in FORKING {
        let dog = environment(mode).start();
        let response = dog.call(&Request::get("/").header("X-Big", "b".repeat(100 * 1024)));
        let big = value(&response, "Http_X_Big").unwrap_or_default();
        assert_eq!(big.len(), 100 * 1024, "{mode}");
    }
}

#[test]
fn header_above_the_kernels_limit_gives_431_naming_it() {
    // execve(2): no string above 128 KiB. It was an empty 200 in streaming mode.
    for mode in FORKING {
        let dog = environment(mode).start();
        let request =
            Request::get("/").header("X-Fine", "f").header("x-big", "b".repeat(130 * 1024));
        let response = dog.call(&request);
        assert_eq!(response.status(), 431, "{mode}");
        assert!(response.text().to_ascii_lowercase().contains("x-big"), "{}", response.text());
        assert_eq!(dog.get("/").status(), 200, "{mode}: the next call");
    }
}

#[test]
fn header_around_the_kernels_limit_is_served_whole_or_refused_with_431() {
    let dog = environment("classic").start();
    // "Http_X_Big=" and the NUL at the end count too.
    let limit = 128 * 1024 - "Http_X_Big=".len() - 1;
    for size in [limit - 2, limit - 1, limit, limit + 1] {
        let response = dog.call(&Request::get("/").header("X-Big", "b".repeat(size)));
        if size > limit {
            assert_eq!(response.status(), 431);
        }
        if response.status() != 431 {
            assert_eq!(value(&response, "Http_X_Big").map(|big| big.len()), Some(size));
        }
    }
}

#[test]
fn headers_of_960_kib_together_are_served_or_refused_with_431() {
    for mode in FORKING {
        let dog = environment(mode).start();
        let mut request = Request::get("/");
        for index in 0..12 {
            request = request.header(&format!("X-Big-{index}"), "b".repeat(80 * 1024));
        }
        let response = dog.call(&request);
        if response.status() == 431 {
            assert!(!response.body.is_empty());
        } else {
            let seen = of_request(&response);
            let big = seen.iter().filter(|line| line.starts_with("Http_X_Big_")).count();
            assert_eq!(big, 12, "{mode}");
        }
    }
}

#[test]
fn headers_above_the_kernels_limit_together_give_431() {
    // execve(2): a quarter of the stack limit for all of it, and never less than 128 KiB.
    for mode in FORKING {
        let dog =
            environment(mode).through(&["sh", "-c", r#"ulimit -s 1024 && exec "$0" "$@""#]).start();
        let mut request = Request::get("/");
        for index in 0..8 {
            request = request.header(&format!("X-Big-{index}"), "b".repeat(60 * 1024));
        }
        let response = dog.call(&request);
        assert_eq!(response.status(), 431, "{mode}: {}", response.text());
        assert!(!response.body.is_empty(), "{mode}");
        assert_eq!(dog.get("/").status(), 200, "{mode}: the next call");
    }
}

#[test]
fn two_hundred_headers_all_arrive() {
    for mode in FORKING {
        let dog = environment(mode).start();
        let mut request = Request::get("/");
        for index in 0..200 {
            request = request.header(&format!("X-N{index}"), index.to_string());
        }
        let seen = of_request(&dog.call(&request));
        for index in 0..200 {
            assert!(seen.contains(&format!("Http_X_N{index}={index}")), "{mode}: {index}");
        }
    }
}
