//! A server that says what it is told to, byte for byte: what no server of HTTP would.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A step of a conversation.
#[derive(Clone)]
pub enum Act {
    /// Reads a request.
    Hear,
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Sends these bytes, each after a moment.
    Drip(Vec<u8>),
    /// Does nothing for as long as the client waits.
    Hold,
    /// Resets the connection.
    Reset,
}

pub fn say(text: &str) -> Act {
    Act::Say(text.as_bytes().to_vec())
}

/// One that has a conversation for each connection, in order. Those that come after the last are closed.
pub struct Peer {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Peer {
    pub async fn start(conversations: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, conversations)
    }

    /// The same, listening elsewhere.
    pub fn on(listener: TcpListener, conversations: Vec<Vec<Act>>) -> Self {
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let conversations = Arc::new(Mutex::new(conversations.into_iter()));
        let accepting = tokio::spawn({
            let heads = heads.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let acts = conversations.lock().unwrap().next().unwrap_or_default();
                    let heads = heads.clone();
                    // A client that hangs up is none of the server's business.
                    tokio::spawn(async move { converse(stream, acts, &heads).await.ok() });
                }
            }
        });
        Self { port, heads, accepting }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was asked so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(
    mut stream: TcpStream,
    acts: Vec<Act>,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    for act in acts {
        match act {
            Act::Hear => {
                let head = hear(&mut stream).await?;
                heads.lock().unwrap().push(head);
            }
            Act::Say(bytes) => stream.write_all(&bytes).await?,
            Act::Drip(bytes) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Act::Hold => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await?;
            }
            Act::Reset => {
                // What was sent should have arrived: a reset takes what has not.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return stream.set_zero_linger();
            }
        }
    }
    stream.shutdown().await
}

/// The head of a request.
pub async fn hear(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}
