//! A server on loopback that gives the answers it was told, one for each request, and misbehaves
//! as told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// One answer.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    /// What the body is instead, for the path that is asked for.
    of_path: Option<fn(&str) -> Vec<u8>>,
    /// Answers with the part that the request's Range asks for.
    range: bool,
    /// Announces no length; the end of the connection is the end of the body.
    lengthless: bool,
    /// Bytes of the body after which the connection ends, or nothing more comes.
    cut: Option<usize>,
    stall: Option<usize>,
    /// Bytes of the body after which the connection is reset.
    reset: Option<usize>,
    wait: Duration,
    /// Waits until as many requests are there as the barrier is for.
    together: Option<Arc<Barrier>>,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        let wait = Duration::ZERO;
        let (headers, body) = (Vec::new(), Vec::new());
        Self {
            status,
            headers,
            body,
            of_path: None,
            range: false,
            lengthless: false,
            cut: None,
            stall: None,
            reset: None,
            wait,
            together: None,
        }
    }

    pub fn ok(body: &[u8]) -> Self {
        Self::status(200).body(body)
    }

    /// The body that belongs to the path.
    pub fn ok_of(of_path: fn(&str) -> Vec<u8>) -> Self {
        Self { of_path: Some(of_path), ..Self::status(200) }
    }

    /// The part of `body` that is asked for.
    pub fn range(body: &[u8]) -> Self {
        Self { range: true, ..Self::status(206).body(body) }
    }

    /// No answer at all.
    pub fn silence() -> Self {
        Self::status(200).after(Duration::from_secs(3600))
    }

    /// `body` again and again, of no announced length.
    pub fn endless(body: &[u8]) -> Self {
        Self { lengthless: true, ..Self::ok(&body.repeat(100_000)) }
    }

    pub fn body(self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self }
    }

    pub fn header(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    /// Hangs up after so many bytes of the body.
    pub fn cut(self, after: usize) -> Self {
        Self { cut: Some(after), ..self }
    }

    /// Sends nothing more after so many bytes of the body.
    pub fn stall(self, after: usize) -> Self {
        Self { stall: Some(after), ..self }
    }

    /// Resets the connection after so many bytes of the body.
    pub fn reset(self, after: usize) -> Self {
        Self { reset: Some(after), ..self }
    }

    pub fn after(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    pub fn together(self, barrier: &Arc<Barrier>) -> Self {
        Self { together: Some(barrier.clone()), ..self }
    }
}

/// What was asked.
#[derive(Clone)]
pub struct Request {
    pub path: String,
    /// Whether the client showed a certificate.
    pub known: bool,
    head: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    /// Bytes of bodies that were sent.
    sent: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

pub struct Server {
    address: std::net::SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Starts on a free port. A request beyond the given answers gets status 599.
    pub async fn start(answers: Vec<Answer>) -> Self {
        Self::start_with(answers, None).await
    }

    /// The same, in TLS.
    pub async fn start_tls(answers: Vec<Answer>, tls: Arc<ServerConfig>) -> Self {
        Self::start_with(answers, Some(tls.into())).await
    }

    async fn start_with(answers: Vec<Answer>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let accepting = tokio::spawn({
            let seen = seen.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    let (seen, answers, tls) = (seen.clone(), answers.clone(), tls.clone());
                    tokio::spawn(async move {
                        let answer = || answers.lock().unwrap().next();
                        // A client that hangs up is none of the server's business.
                        let _ = match tls {
                            None => serve(stream, &seen, answer).await,
                            Some(tls) => match tls.accept(stream).await {
                                Ok(stream) => serve(stream, &seen, answer).await,
                                Err(error) => Err(error),
                            },
                        };
                    });
                }
            }
        });
        Self { address, seen, accepting }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes the port, which is free when this returns.
    pub async fn stop(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that were sent so far.
    pub fn sent(&self) -> usize {
        self.seen.sent.load(Ordering::SeqCst)
    }

    /// The most requests that were being answered at one moment.
    pub fn most_at_a_time(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }
}

/// A connection.
trait Peer: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
    fn known(&self) -> bool;
}

impl Peer for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn known(&self) -> bool {
        false
    }
}

impl Peer for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn known(&self) -> bool {
        self.get_ref().1.peer_certificates().is_some()
    }
}

/// Answers one request and closes the connection.
async fn serve(
    mut stream: impl Peer,
    seen: &Seen,
    answer: impl FnOnce() -> Option<Answer>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let request = Request { path, known: stream.known(), head };
    seen.requests.lock().unwrap().push(request.clone());
    let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    let answer = answer().unwrap_or_else(|| Answer::status(599));
    tokio::time::sleep(answer.wait).await;
    if let Some(barrier) = &answer.together {
        barrier.wait().await;
    }
    // Before the answer: once it has it, a client may ask for more.
    seen.now.fetch_sub(1, Ordering::SeqCst);
    respond(&mut stream, &request, answer, seen).await
}

async fn respond(
    stream: &mut impl Peer,
    request: &Request,
    answer: Answer,
    seen: &Seen,
) -> std::io::Result<()> {
    let mut body = answer.of_path.map_or(answer.body, |body| body(&request.path));
    let mut headers = answer.headers;
    if answer.range {
        let range = request.header("range").unwrap_or("bytes=0-");
        let from: usize = range.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        headers.push(format!("Content-Range: bytes {from}-{}/{}", body.len() - 1, body.len()));
        body.drain(..from);
    }
    if !answer.lengthless {
        headers.push(format!("Content-Length: {}", body.len()));
    }
    headers.push("Connection: close".to_owned());
    let head = format!("HTTP/1.1 {} x\r\n{}\r\n\r\n", answer.status, headers.join("\r\n"));
    stream.write_all(head.as_bytes()).await?;
    let sent = answer.cut.or(answer.stall).or(answer.reset).unwrap_or(body.len());
    stream.write_all(&body[..sent]).await?;
    seen.sent.fetch_add(sent, Ordering::SeqCst);
    stream.flush().await?;
    if answer.stall.is_some() {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    if answer.reset.is_some() {
        // What was sent should have arrived: a reset takes what has not.
        tokio::time::sleep(Duration::from_millis(300)).await;
        return stream.tcp().set_zero_linger();
    }
    stream.shutdown().await
}
