//! The proxies of the environment.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::peer::hear;
use super::{World, archive, said};
use crate::fault_server::{Answer, Server};
use crate::fetch_rules::tls::Authority;

/// One that leads wherever it is asked to a port of this machine.
struct Proxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    async fn to(target: u16, wants_login: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let accepting = tokio::spawn({
            let heads = heads.clone();
            async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let heads = heads.clone();
                    tokio::spawn(async move {
                        let mut first = [0];
                        stream.peek(&mut first).await?;
                        if first == [5] {
                            let asked = socks(&mut stream).await?;
                            heads.lock().unwrap().push(asked);
                            let mut other = TcpStream::connect(("127.0.0.1", target)).await?;
                            return copy_bidirectional(&mut stream, &mut other).await.map(drop);
                        }
                        let head = hear(&mut stream).await?.to_lowercase();
                        let known = head.contains("\r\nproxy-authorization: ");
                        heads.lock().unwrap().push(head);
                        if wants_login && !known {
                            let refused =
                                "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=x\r\n\r\n";
                            return stream.write_all(refused.as_bytes()).await;
                        }
                        stream.write_all(b"HTTP/1.1 200 x\r\n\r\n").await?;
                        let mut other = TcpStream::connect(("127.0.0.1", target)).await?;
                        copy_bidirectional(&mut stream, &mut other).await.map(drop)
                    });
                }
            }
        });
        Self { port, heads, accepting }
    }

    /// What was asked since this was last asked.
    fn heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn text(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// Lets a client in who has a name and password (RFC 1928, 1929), and tells where it wants to.
async fn socks(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut two = [0; 2];
    stream.read_u8().await?;
    text(stream).await?;
    stream.write_all(&[5, 2]).await?;
    stream.read_u8().await?;
    let (user, password) = (text(stream).await?, text(stream).await?);
    stream.write_all(&[1, 0]).await?;
    let mut asked = [0; 4];
    stream.read_exact(&mut asked).await?;
    assert_eq!(asked, [5, 1, 0, 3], "a name is wanted");
    let name = text(stream).await?;
    stream.read_exact(&mut two).await?;
    stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
    Ok(format!("{user} {password} {name}:{}", u16::from_be_bytes(two)))
}

#[tokio::test(flavor = "multi_thread")]
async fn https_goes_through_the_proxy_and_is_not_opened_there() {
    let content = archive(3000);
    let ours = Authority::new();
    let server = Server::start_tls(vec![Answer::ok(&content); 20], ours.server("a.test")).await;
    let proxy = Proxy::to(server.port(), true).await;
    let world = World::new();
    world.write_setting("ca.pem", ours.pem());
    world.settings("[host.\"a.test\"]\nca = \"ca.pem\"\n[limits]\ntries = 1\nresolve = \"1s\"\n");
    let url = format!("https://a.test:{}/x", server.port());
    world.recipe(std::slice::from_ref(&url), &content);
    let run = async |env: &[(&str, &str)]| {
        let _ = std::fs::remove_dir_all(world.dir().join("store"));
        let mut command = world.treelay(&["lock", "tool.yaml", "--update", "--json"]);
        command.envs(env.iter().copied()).env("TREELAY_LOG", "trace");
        let output = said(command).await;
        for text in [output.out(), output.err()] {
            assert!(!text.contains("pa55word") && !text.contains("bWU6cGE1NXdvcmQ"), "{text}");
        }
        output
    };
    let bare = format!("127.0.0.1:{}", proxy.port);
    let known = format!("http://me:pa55word@{bare}");
    for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        let served = run(&[(name, &known)]).await.ok().served();
        assert_eq!(served["served"], url, "{name}");
        let heads = proxy.heads();
        let first = format!("connect a.test:{} http/1.1\r\n", server.port());
        assert!(heads.len() == 1 && heads[0].starts_with(&first), "{heads:?}");
        assert!(heads[0].contains("\r\nproxy-authorization: basic bwu6cge1nxdvcmq=\r\n"));
    }
    // As people write it, lowercase before uppercase.
    let bare_login = format!("me:pa55word@{bare}");
    run(&[("https_proxy", &bare_login), ("HTTPS_PROXY", "http://127.0.0.1:9")]).await.ok();
    assert_eq!(proxy.heads().len(), 1);
    run(&[("all_proxy", &format!("socks5h://me:pa55word@{bare}"))]).await.ok();
    assert_eq!(proxy.heads(), [format!("me pa55word a.test:{}", server.port())]);
    for (wrong, told) in [
        ("ftp://me:pa55word@a.test", "setting up the proxy ftp://a.test/: expected one of http"),
        ("me:pa55word@", "setting up the proxy : "),
        ("http://me:pa55word@[bad", "setting up the proxy http://[bad: invalid IPv6 address"),
    ] {
        let said = run(&[("https_proxy", wrong)]).await.fails().err();
        assert!(said.contains(told), "{told}: {said}");
    }
    // What the proxy asks is no affair of the server's.
    assert!(server.requests().iter().all(|asked| asked.header("proxy-authorization").is_none()));

    let unknown = run(&[("https_proxy", &bare)]).await.fails().err();
    assert!(unknown.contains("proxy authorization required"), "{unknown}");
    assert_eq!(proxy.heads().len(), 1);
    for no_proxy in ["a.test", ".test", "*", "b.test, a.test"] {
        run(&[("https_proxy", &known), ("no_proxy", no_proxy)]).await.fails();
    }
    assert_eq!(proxy.heads().len(), 0);

    // This machine is asked without.
    let near = Server::start(vec![Answer::ok(&content); 2]).await;
    world.recipe(&[near.url("/x")], &content);
    run(&[("http_proxy", &known), ("all_proxy", &known)]).await.ok();
    assert_eq!((proxy.heads().len(), near.requests().len()), (0, 1));
}
