use super::*;
struct PathDial(String, SocketAddr);
impl Dial for PathDial {
    fn runtime(&self) -> BoxFuture<'_, Result<UnixStream, DialError>> {
        Box::pin(async { UnixStream::connect(&self.0).await.map_err(|_| DialError::NotThere) })
    }
    fn own_listener(&self) -> BoxFuture<'_, Result<TcpStream, DialError>> {
        Box::pin(async { TcpStream::connect(self.1).await.map_err(|_| DialError::NotThere) })
    }
    fn supervisor(&self) -> Channel { nobody() }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zz() {
    let Ok(path) = std::env::var("FD_LLAMA") else { return };
    let (tcp, address) = bound();
    let (listener, hosts) = listener::adopt(tcp.into(), address).expect("x");
    let credential = HealthCredential::random().expect("x");
    let section = Section { rate_limit_requests: 100_000, ..Section::default() };
    let door = Door::new(Plan::of(&charter(section, address)), hosts, Box::new(PathDial(path, address)), credential.digest());
    let token = door.new_holder();
    token.hold(Some(TokenDigest::of(TOKEN.as_bytes())));
    door.tell_facts(Some(ready_facts(1)));
    tokio::spawn(http_server::serve(listener, door.clone(), CancellationToken::new()));
    tokio::spawn(crate::health::probe_on(door.clone(), credential));
    std::fs::write("/tmp/fdllama/endpoint", address.to_string()).expect("x");
    while std::path::Path::new("/tmp/fdllama/endpoint").exists() { tokio::time::sleep(Duration::from_millis(200)).await; }
}
