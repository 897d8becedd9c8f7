//! A file server on loopback that is not what is measured: a thread for each connection, large files
//! by sendfile(2), and connections that stay open. It counts what it sends, and hangs up once where it
//! is told to.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

/// Files up to this size go out in one write with their header.
const SMALL: u64 = 64 << 10;

/// Serves the files below a folder until it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    folder: PathBuf,
    stopping: AtomicBool,
    /// Bytes of bodies that were sent.
    sent: AtomicU64,
    /// Bytes of the next body after which to hang up; none where it is zero.
    cut: AtomicU64,
}

impl Server {
    /// Starts to serve `folder`.
    pub fn of(folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listening on loopback")?;
        let address = listener.local_addr().context("listening on loopback")?;
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            stopping: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        });
        let ours = Arc::clone(&shared);
        let accepting = Some(thread::spawn(move || accept(&listener, &ours)));
        Ok(Self { address, shared, accepting })
    }

    /// The address of a file, or with an empty path of the folder.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address).trim_end_matches('/').to_owned()
    }

    /// Hangs up once, after so many bytes of the next body.
    pub fn cut_next(&self, after: u64) {
        self.shared.cut.store(after, Ordering::SeqCst);
    }

    /// Bytes of bodies that were sent since this was last asked.
    pub fn sent(&self) -> u64 {
        self.shared.sent.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; the others end with their clients.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        // A client that hangs up is no error of the server's.
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
        let mut from = None;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? <= 2 {
                break;
            }
            from = from.or(range(&header));
        }
        let target = request.split(' ').nth(1).unwrap_or_default();
        if !answer(stream, shared, target, from)? {
            return stream.shutdown(Shutdown::Both);
        }
    }
}

/// The first byte that a header `Range: bytes=N-` asks for.
fn range(header: &str) -> Option<u64> {
    let (name, value) = header.split_once(':')?;
    let value =
        value.trim().strip_prefix("bytes=").filter(|_| name.eq_ignore_ascii_case("range"))?;
    value.strip_suffix('-')?.parse().ok()
}

/// Answers with a file, and tells whether the connection goes on.
fn answer(
    mut stream: &TcpStream,
    shared: &Shared,
    target: &str,
    from: Option<u64>,
) -> io::Result<bool> {
    let file = resolve(&shared.folder, target).and_then(|path| File::open(path).ok());
    let Some(mut file) = file.filter(|file| file.metadata().is_ok_and(|meta| meta.is_file()))
    else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(true);
    };
    let size = file.metadata()?.len();
    let (mut head, start) = match from.filter(|from| *from < size) {
        Some(from) => {
            let last = size - 1;
            let range = format!("Content-Range: bytes {from}-{last}/{size}\r\n");
            (format!("HTTP/1.1 206 Partial Content\r\n{range}"), from)
        }
        None => ("HTTP/1.1 200 OK\r\n".to_owned(), 0),
    };
    let rest = size - start;
    head += &format!("ETag: \"{size}\"\r\nContent-Length: {rest}\r\n\r\n");
    let cut = match shared.cut.swap(0, Ordering::SeqCst) {
        0 => rest,
        cut => cut.min(rest),
    };
    file.seek(SeekFrom::Start(start))?;
    let mut body = file.take(cut);
    if cut <= SMALL {
        let mut bytes = head.into_bytes();
        body.read_to_end(&mut bytes)?;
        stream.write_all(&bytes)?;
    } else {
        stream.write_all(head.as_bytes())?;
        io::copy(&mut body, &mut stream)?;
    }
    shared.sent.fetch_add(cut, Ordering::SeqCst);
    Ok(cut == rest)
}

/// The file that a request's target names; none for one that would leave the folder.
fn resolve(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = Path::new(target.strip_prefix('/')?);
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_and_parts_are_served_and_counted() {
        let folder = std::env::temp_dir().join(format!("treelay-ci-server-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("in")).unwrap();
        std::fs::write(folder.join("in/a"), "0123456789").unwrap();
        std::fs::write(folder.join("b"), "above").unwrap();
        let server = Server::of(&folder.join("in")).unwrap();
        let whole = ask(&server, "GET /a HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n");
        assert_eq!(whole.matches("Content-Length: 10\r\n\r\n0123456789").count(), 2, "{whole}");
        assert_eq!((server.sent(), server.sent()), (20, 0));
        let part = ask(&server, "GET /a HTTP/1.1\r\nrange: bytes=7-\r\n\r\n");
        assert!(part.contains("bytes 7-9/10\r\n") && part.ends_with("\r\n\r\n789"), "{part}");
        server.cut_next(4);
        let cut = ask(&server, "GET /a HTTP/1.1\r\n\r\n");
        assert!(cut.contains("Content-Length: 10") && cut.ends_with("\r\n\r\n0123"), "{cut}");
        assert_eq!(server.sent(), 7);
        for target in ["/../b", "/none", "/"] {
            let none = ask(&server, &format!("GET {target} HTTP/1.1\r\n\r\n"));
            assert!(none.starts_with("HTTP/1.1 404 "), "{none}");
        }
        drop(server);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
