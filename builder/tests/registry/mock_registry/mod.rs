//! A registry in memory that can be told to misbehave, and remembers what it was asked.

mod content;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use treelay_recipes::Digest;

use self::content::Content;

/// One request, as far as its head.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub target: String,
    pub headers: BTreeMap<String, String>,
}

impl Request {
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self, name: &str) -> Option<String> {
        let url = reqwest::Url::parse(&format!("http://x{}", self.target)).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answer with this, whatever was asked.
    Answer(Reply),
    /// Answer as usual, but hang up after so many bytes of the body.
    CutBody(usize),
    /// Answer as usual, but stop after so many bytes of the body and keep the connection.
    StallBody(usize),
    /// Say nothing at all.
    Silence,
    /// Take so many bytes of the request's body, then hang up.
    DropUpload(usize),
    /// Answer as usual with the body's first byte changed.
    Corrupt,
}

#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

pub fn reply(status: u16) -> Reply {
    Reply { status, ..Reply::default() }
}

impl Reply {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// What to do about a request; the number counts requests from 0.
type Hook = Box<dyn Fn(&Request, usize) -> Option<Fault> + Send + Sync>;

/// How a registry keeps referrers, if it does.
#[derive(Clone, Copy, Debug)]
pub struct ReferrersApi {
    /// Whether it says so when it takes one (`OCI-Subject`).
    pub header: bool,
    /// Entries to a page.
    pub page: usize,
}

#[derive(Default)]
struct Config {
    /// `USER:PASSWORD` that the token server wants.
    login: Option<String>,
    /// What `Bearer` challenges name instead of our own token server.
    realm: Option<String>,
    basic: bool,
}

#[derive(Clone)]
pub struct Registry {
    pub address: SocketAddr,
    content: Arc<Mutex<Content>>,
    hook: Arc<Mutex<Hook>>,
    config: Arc<Mutex<Config>>,
    referrers: Arc<Mutex<Option<ReferrersApi>>>,
    /// Whether writing manifests heeds If-Match and If-None-Match.
    conditions: Arc<AtomicBool>,
}

impl Registry {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Self {
            address: listener.local_addr().unwrap(),
            content: Arc::default(),
            hook: Arc::new(Mutex::new(Box::new(|_, _| None))),
            config: Arc::default(),
            referrers: Arc::default(),
            conditions: Arc::default(),
        };
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let registry = serving.clone();
                // A client that hangs up is no failure of the test.
                tokio::spawn(async move { registry.serve(stream).await.ok() });
            }
        });
        registry
    }

    /// From now on, asks `hook` first.
    pub fn misbehave(
        &self,
        hook: impl Fn(&Request, usize) -> Option<Fault> + Send + Sync + 'static,
    ) {
        self.content.lock().unwrap().log.clear();
        *self.hook.lock().unwrap() = Box::new(hook);
    }

    pub fn behave(&self) {
        self.misbehave(|_, _| None);
    }

    pub fn keep_referrers(&self, api: Option<ReferrersApi>) {
        *self.referrers.lock().unwrap() = api;
    }

    pub fn heed_conditions(&self) {
        self.conditions.store(true, Ordering::Relaxed);
    }

    /// Another client writes a manifest.
    pub fn add_manifest(&self, repository: &str, name: &str, kind: &str, bytes: &[u8]) {
        let mut content = self.content.lock().unwrap();
        let entry = (kind.to_owned(), bytes.to_vec());
        content.manifests.insert((repository.to_owned(), name.to_owned()), entry.clone());
        content.manifests.insert((repository.to_owned(), Digest::of(bytes).to_string()), entry);
    }

    pub fn manifest(&self, repository: &str, name: &str) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), name.to_owned());
        self.content.lock().unwrap().manifests.get(&key).map(|(_, bytes)| bytes.clone())
    }

    /// All names and what they name, to see whether something changed.
    pub fn manifests(&self) -> Vec<(String, Digest)> {
        let content = self.content.lock().unwrap();
        let named = content.manifests.iter();
        named.map(|((_, name), (_, bytes))| (name.clone(), Digest::of(bytes))).collect()
    }

    pub fn want_token(&self, login: &str, realm: Option<&str>) {
        let (login, realm) = (Some(login.to_owned()), realm.map(str::to_owned));
        *self.config.lock().unwrap() = Config { login, realm, basic: false };
    }

    pub fn want_basic(&self, login: &str) {
        let login = Some(login.to_owned());
        *self.config.lock().unwrap() = Config { login, realm: None, basic: true };
    }

    /// How often it was asked, since the last change of behaviour, what it speaks.
    pub fn looks(&self) -> usize {
        let content = self.content.lock().unwrap();
        content.log.iter().filter(|r| r.target == "/v2/").count()
    }

    /// Requests since the last change of behaviour, without those.
    pub fn log(&self) -> Vec<Request> {
        let log = self.content.lock().unwrap().log.clone();
        log.into_iter().filter(|r| r.target != "/v2/").collect()
    }

    pub fn count(&self, method: &str, part: &str) -> usize {
        self.log().iter().filter(|r| r.is(method, part)).count()
    }

    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), digest.to_string());
        self.content.lock().unwrap().blobs.get(&key).cloned()
    }

    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.content.lock().unwrap().blobs.insert(key, bytes.to_vec());
        digest
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let mut word = || first.next().unwrap_or_default().to_owned();
        let (method, target) = (word(), word());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned())).collect();
        let request = Request { method, target, headers };
        let number = {
            let mut content = self.content.lock().unwrap();
            content.log.push(request.clone());
            content.log.len() - 1
        };
        let fault = self.hook.lock().unwrap()(&request, number);
        let length = request.headers.get("content-length").map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        if let Some(Fault::DropUpload(n)) = fault {
            stream.read_exact(&mut body[..n]).await?;
            let session = request.path().rsplit('/').next().unwrap().parse::<usize>();
            let mut content = self.content.lock().unwrap();
            if let Some(upload) = session.ok().and_then(|s| content.uploads.get_mut(&s)) {
                upload.extend_from_slice(&body[..n]);
            }
            return Ok(());
        }
        let reply = match &fault {
            // An early answer does not wait for the body.
            Some(Fault::Answer(reply)) => reply.clone(),
            Some(Fault::Silence) => std::future::pending().await,
            _ => {
                stream.read_exact(&mut body).await?;
                self.answer(&request, body)
            }
        };
        self.send(stream, &request, reply, fault).await
    }

    async fn send(
        &self,
        mut stream: BufReader<TcpStream>,
        request: &Request,
        mut reply: Reply,
        fault: Option<Fault>,
    ) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", reply.body.len()));
        stream.write_all(head.as_bytes()).await?;
        if request.method == "HEAD" {
            reply.body.clear();
        }
        match fault {
            Some(Fault::CutBody(n)) => stream.write_all(&reply.body[..n]).await?,
            Some(Fault::StallBody(n)) => {
                stream.write_all(&reply.body[..n]).await?;
                stream.flush().await?;
                std::future::pending::<()>().await;
            }
            Some(Fault::Corrupt) => {
                reply.body[0] ^= 1;
                stream.write_all(&reply.body).await?;
            }
            _ => stream.write_all(&reply.body).await?,
        }
        stream.shutdown().await?;
        // Read what the client still sends: closing over unread bytes would reset the connection
        // before the client has read the answer.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        Ok(())
    }

    fn answer(&self, request: &Request, body: Vec<u8>) -> Reply {
        if let Some(refusal) = self.refusal(request) {
            return refusal;
        }
        let mut content = self.content.lock().unwrap();
        let path = request.path().trim_start_matches("/v2/").to_owned();
        let method = request.method.as_str();
        let api = *self.referrers.lock().unwrap();
        if let Some((repository, name)) = path.split_once("/manifests/") {
            let key = (repository.to_owned(), name.to_owned());
            let there = content.manifests.get(&key).map(|(_, bytes)| etag(bytes));
            if method == "PUT" && self.conditions.load(Ordering::Relaxed) {
                let (wants, bars) =
                    (request.headers.get("if-match"), request.headers.get("if-none-match"));
                if wants.is_some() && wants != there.as_ref() || bars.is_some() && there.is_some() {
                    return reply(412);
                }
            }
            let subject = subject_of(&body).filter(|_| api.is_some_and(|api| api.header));
            let reply = content.manifests(method, repository, name, request, body);
            return match subject {
                Some(subject) => reply.with("oci-subject", subject),
                None if method == "GET" && self.conditions.load(Ordering::Relaxed) => match there {
                    Some(etag) => reply.with("etag", etag),
                    None => reply,
                },
                None => reply,
            };
        }
        if let (Some((repository, subject)), Some(api)) = (path.split_once("/referrers/"), api) {
            return content.referrers(repository, subject, api.page, request);
        }
        if let Some((repository, rest)) = path.split_once("/blobs/uploads/") {
            return content.upload(method, repository, rest, request, body);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            let key = (repository.to_owned(), digest.to_owned());
            let Some(blob) = content.blobs.get(&key) else { return reply(404) };
            let from = request.headers.get("range").map(|range| {
                range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
            });
            return match from {
                Some(from) => reply(206)
                    .with(
                        "content-range",
                        format!("bytes {from}-{}/{}", blob.len() - 1, blob.len()),
                    )
                    .body(&blob[from..]),
                None => reply(200).body(blob.clone()),
            };
        }
        if let Some(repository) = path.strip_suffix("/tags/list") {
            return content.tags(repository, request);
        }
        reply(if path.is_empty() { 200 } else { 404 })
    }

    /// The token server, and the 401 for who has not been there.
    fn refusal(&self, request: &Request) -> Option<Reply> {
        let config = self.config.lock().unwrap();
        let login = config.login.as_ref()?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(login);
        let sent = request.headers.get("authorization").map(String::as_str);
        let has_login = sent == Some(&format!("Basic {encoded}"));
        if request.path() == "/token" {
            let (scope, n) = (request.query("scope").unwrap(), self.log().len());
            let token = format!("{{\"token\":\"good-{scope}#{n}\"}}");
            return Some(if has_login { reply(200).body(token) } else { reply(401) });
        }
        if config.basic {
            let wants = reply(401).with("www-authenticate", "Basic realm=\"x\"");
            return (!has_login).then_some(wants);
        }
        if sent.is_some_and(|sent| sent.starts_with("Bearer good-repository:")) {
            return None;
        }
        let ours = format!("http://{}/token", self.address);
        let realm = config.realm.as_deref().unwrap_or(&ours);
        Some(reply(401).with("www-authenticate", format!("Bearer realm=\"{realm}\",service=\"x\"")))
    }
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", Digest::of(bytes))
}

fn subject_of(manifest: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    json["subject"]["digest"].as_str().map(str::to_owned)
}
