use super::*;

struct Said {
    ready: Vec<String>,
}

#[async_trait]
impl Pages for Said {
    async fn metrics(&self) -> String {
        "fnaa_x 1\n".to_owned()
    }

    async fn not_alive(&self) -> Vec<String> {
        Vec::new()
    }

    async fn not_ready(&self) -> Vec<String> {
        self.ready.clone()
    }
}

async fn door(ready: &[&str]) -> (SocketAddr, watch::Sender<bool>) {
    let ready = ready.iter().map(ToString::to_string).collect();
    let door = Door::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = door.address().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(door.serve(Arc::new(Said { ready }), stopped));
    (address, stop)
}

async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn pages_are_answered_once_and_the_connection_ends() {
    let (address, _stop) = door(&[]).await;
    let twice = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = ask(address, twice).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{answer}");
    assert!(answer.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("\r\n\r\nfnaa_x 1\n"));
    let head = ask(address, b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.contains("\r\nContent-Length: 9\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(ask(address, b"GET /readyz HTTP/1.1\r\n\r\n").await.ends_with("\r\n\r\nok\n"));
}

#[tokio::test]
async fn a_host_that_is_not_ready_says_one_reason_a_line() {
    let (address, _stop) = door(&["broker a: gone\naway", "starting"]).await;
    let answer = ask(address, b"GET /readyz HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nbroker a: gone away\nstarting\n"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_one_octet_too_long_is_refused_and_one_that_fits_is_not() {
    let (address, _stop) = door(&[]).await;
    let frame = "GET /livez HTTP/1.1\r\na: \r\n\r\n".len();
    let request =
        |filler: usize| format!("GET /livez HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(filler));
    let fits = ask(address, request(MAX_HEAD - frame).as_bytes()).await;
    assert!(fits.starts_with("HTTP/1.1 200 "), "{fits}");
    let too_long = ask(address, request(MAX_HEAD - frame + 1).as_bytes()).await;
    assert!(too_long.starts_with("HTTP/1.1 431 "), "{too_long}");
}

#[tokio::test]
async fn who_sends_slowly_is_told_so_and_who_is_one_too_many_is_closed() {
    let (address, _stop) = door(&[]).await;
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /livez").await.unwrap();
        slow.push(stream);
    }
    // Accepting goes on in their order, so this one comes after them.
    let mut over = TcpStream::connect(address).await.unwrap();
    let mut said = Vec::new();
    let closed = over.read_to_end(&mut said).await;
    assert!(said.is_empty(), "{closed:?} {said:?}");
    for mut stream in slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    assert!(ask(address, b"GET /livez HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_door_that_is_told_to_stop_lets_go_of_its_address() {
    let (address, stop) = door(&[]).await;
    stop.send_replace(true);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    Door::bind(address).await.unwrap();
}
