//! Clients that read too slowly: `write_timeout`.

use e2e::{Client, DEADLINE, End, Request, eventually};

use crate::watchdog;

#[test]
fn client_that_stops_reading_is_cut_after_write_timeout() {
    for (mode, script) in
        [("streaming", "yes | head -c 100000000"), ("classic", "head -c 12000000 /dev/zero")]
    {
        let dog = watchdog()
            .mode(mode)
            .sh(script)
            .env("exec_timeout", "60s")
            // Classic mode has to make and keep all of the output in this time, too.
            .env("write_timeout", "3s")
            .start();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 4096);
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200, "{mode}");
        // Not reading on: the connection goes away, and with it the process.
        dog.wait_until_childless();
        eventually(DEADLINE, "the connection to be given up", || dog.connections() == 0);
        let (_, end) = client.skip_body();
        assert!(matches!(end, End::Cut(_)), "{mode}: {end:?}");
        assert_eq!(dog.get("/_/health").status(), 200);
    }
}
