//! A static file server on loopback, for `ostree pull` and for archives by URL.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Serves the files below a folder until it is dropped.
#[derive(Debug)]
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    stopping: AtomicBool,
    requests: AtomicUsize,
    heads: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
}

impl Server {
    /// Starts to serve `folder`.
    ///
    /// # Panics
    /// When loopback cannot be listened on.
    pub fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            folder: folder.to_path_buf(),
            stopping: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            heads: Mutex::default(),
            open: Mutex::new(Vec::new()),
        });
        let ours = Arc::clone(&shared);
        let accepting = Some(thread::spawn(move || accept(&listener, &ours)));
        Self { port, shared, accepting }
    }

    /// The URL of a file, or with an empty path of the folder.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, path.trim_start_matches('/'))
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// What was asked so far: first lines and headers, in order.
    ///
    /// # Panics
    /// When serving has.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(copy) = stream.try_clone() {
            shared.open.lock().unwrap().push(copy);
        }
        let shared = Arc::clone(shared);
        // A client that hangs up is no error of ours.
        thread::spawn(move || drop(serve(&stream, &shared)));
    }
}

/// Answers requests on one connection until the client closes it.
fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut close = false;
        let mut head = request.clone();
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? <= 2 {
                break;
            }
            head.push_str(&header);
            close |= header.to_ascii_lowercase().replace(' ', "").starts_with("connection:close");
        }
        shared.heads.lock().unwrap().push(head);
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        answer(stream, shared, method, target)?;
        if close {
            return stream.shutdown(Shutdown::Write);
        }
    }
}

fn answer(mut stream: &TcpStream, shared: &Shared, method: &str, target: &str) -> io::Result<()> {
    let empty = |status| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    if method != "GET" && method != "HEAD" {
        return stream.write_all(empty("405 Method Not Allowed").as_bytes());
    }
    let file = resolve(&shared.folder, target).and_then(|path| File::open(path).ok());
    let Some(mut file) = file.filter(|file| file.metadata().is_ok_and(|meta| meta.is_file()))
    else {
        return stream.write_all(empty("404 Not Found").as_bytes());
    };
    let size = file.metadata()?.len();
    // Pages of a package index are read by their type.
    let page = target.ends_with("/") && target.starts_with("/simple/");
    let kind = if page { "Content-Type: text/html\r\n" } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if method == "GET" {
        io::copy(&mut file, &mut stream)?;
    }
    Ok(())
}

/// The file that a request's target names; none for one that would leave the folder.
fn resolve(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    // What a folder says of itself is in a file.
    let index = format!("{path}index");
    let path = Path::new(if path.ends_with('/') { index.as_str() } else { path });
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn ask(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_are_served_and_nothing_above_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/a"), "hello").unwrap();
        std::fs::write(folder.path().join("b"), "above").unwrap();
        let server = Server::of(&folder.path().join("in"));
        let close = "Connection: close\r\n\r\n";
        let two = ask(&server, &format!("GET /a?x HTTP/1.1\r\n\r\nHEAD /a HTTP/1.1\r\n{close}"));
        assert_eq!(two.matches("200 OK\r\nContent-Length: 5").count(), 2, "{two}");
        assert_eq!(two.matches("hello").count(), 1, "{two}");
        for (target, status) in [("/../b", "404"), ("/none", "404"), ("/", "404")] {
            let answer = ask(&server, &format!("GET {target} HTTP/1.1\r\n{close}"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
        }
        assert_eq!(server.requests(), 5);
    }
}
