//! The HTTP clients: certificates, proxies, redirects, and how failures are read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{
    Certificate, Client, ClientBuilder, NoProxy, Proxy, RequestBuilder, Response, Url, redirect,
    tls,
};
use rustls::AlertDescription;
use url::Origin;

use super::config::{Config, EVERY_HOST, Host, MinTls};
use super::login::Login;
use super::pip::PipSettings;
use super::place::{Remote, Trust, is_loopback, redact, shown, take_login};
use super::{FetchError, Limits, Outcome};

/// The proxies that the environment names, in curl's variables.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    no: String,
}

impl Proxies {
    /// Lowercase wins over uppercase, the scheme's own over `ALL_PROXY`, as in curl. As for Go,
    /// `HTTP_PROXY` counts too, unless a web server says what it was asked in such variables.
    pub fn from_env(env: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| {
            let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
            set(name).or_else(|| set(&name.to_uppercase()))
        };
        let all = get("all_proxy");
        let asked = env.contains_key("REQUEST_METHOD") && !env.contains_key("http_proxy");
        Self {
            http: get("http_proxy").filter(|_| !asked).or_else(|| all.clone()),
            https: get("https_proxy").or(all),
            no: get("no_proxy").unwrap_or_default(),
        }
    }

    fn apply(&self, mut builder: ClientBuilder) -> Result<ClientBuilder, FetchError> {
        // Go's rule rather than curl's: loopback is never asked through a proxy.
        let no = format!("{},localhost,127.0.0.0/8,::1", self.no);
        let no = || NoProxy::from_string(&no);
        let named = [&self.http, &self.https];
        if let Some(url) = named.into_iter().flatten().find(|url| !is_spoken(url)) {
            let reason = "expected one of http, https, socks4, socks4a, socks5 and socks5h";
            return Err(setup(format!("the proxy {}", redact(url)), reason));
        }
        if let Some(url) = &self.http {
            builder =
                builder.proxy(Proxy::http(url).map_err(|e| setup_proxy(url, &e))?.no_proxy(no()));
        }
        if let Some(url) = &self.https {
            builder =
                builder.proxy(Proxy::https(url).map_err(|e| setup_proxy(url, &e))?.no_proxy(no()));
        }
        Ok(builder)
    }
}

/// Whether what is spoken with a proxy is spoken here. Others would be passed over without a word.
fn is_spoken(url: &str) -> bool {
    const SPOKEN: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_none_or(|scheme| SPOKEN.contains(&scheme.as_str()))
}

fn setup_proxy(url: &str, error: &reqwest::Error) -> FetchError {
    FetchError::Setup { what: format!("the proxy {}", redact(url)), reason: innermost(error) }
}

/// Looks up a name: by default as the system does.
pub type Lookup = Arc<dyn Fn(String) -> LookingUp + Send + Sync>;
/// The addresses, in time; their ports do not count.
pub type LookingUp = Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>>;

/// Looks names up, and not for ever: a resolver that waits for a server that is gone takes longer
/// than anybody wants to.
struct Names {
    lookup: Option<Lookup>,
    limit: Duration,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let (limit, lookup) = (self.limit, self.lookup.clone());
        Box::pin(async move {
            let found = async {
                match lookup {
                    Some(lookup) => lookup(name.clone()).await,
                    None => by_system(name.clone()).await,
                }
            };
            match tokio::time::timeout(limit, found).await {
                Ok(found) => Ok(Box::new(found?.into_iter()) as Addrs),
                Err(_) => {
                    let limit = super::error::seconds(&limit);
                    let reason = format!("the name {name} could not be resolved within {limit}");
                    Err(std::io::Error::new(std::io::ErrorKind::TimedOut, reason).into())
                }
            }
        })
    }
}

/// What the system says. It may take long after nobody waits any more, so it is asked on a thread that
/// nobody waits for at the end either, as for those of the runtime.
async fn by_system(name: String) -> std::io::Result<Vec<SocketAddr>> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let look = move || {
        let found = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect);
        // Who has given up hears nothing.
        let _ = tell.send(found);
    };
    std::thread::Builder::new().name("names".to_owned()).spawn(look)?;
    told.await.map_err(std::io::Error::other)?
}

/// Clients, each made when first needed: reading the system's certificates takes longer than a
/// build that has nothing to do. There is one for each trust, and for each host that something is set
/// up for: no other host sees its client certificate.
pub(super) struct Http {
    limits: Limits,
    proxies: Proxies,
    config: Config,
    names: Arc<Names>,
    clients: Mutex<HashMap<ClientOf, Client>>,
    /// Who has answered, so that a connection to them may have been kept.
    answered: Mutex<HashSet<Origin>>,
}

/// What a client is of: whose rules, the entry of its host in the set-up, the oldest TLS that it speaks.
type ClientOf = (Trust, Option<String>, MinTls);

/// Why there is no answer.
pub(super) enum NotSent {
    /// The request failed.
    Http(reqwest::Error),
    /// A redirect that is not followed.
    Redirect(String),
    /// It could not even be tried.
    Setup(FetchError),
}

impl Http {
    pub fn new(limits: Limits, proxies: Proxies, config: Config, lookup: Option<Lookup>) -> Self {
        let names = Arc::new(Names { lookup, limit: limits.resolve });
        let (clients, answered) = (Mutex::default(), Mutex::default());
        Self { limits, proxies, config, names, clients, answered }
    }

    /// What is set up about servers.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks `remote`, and whoever it redirects to, each with what is set up for it alone.
    pub async fn get(
        &self,
        remote: &Remote,
        headers: &HeaderMap,
        pip: Option<&PipSettings>,
    ) -> Result<Response, NotSent> {
        let pip = pip.filter(|_| remote.trust != Trust::System);
        let trusted = pip.map(|pip| pip.trusted_hosts.as_slice()).unwrap_or_default();
        let mut url = remote.url.clone();
        let mut was_https = false;
        for _ in 0..=MOST_REDIRECTS {
            let login = match remote.url.origin() == url.origin() {
                true => remote.login.clone(),
                false => None,
            };
            // Each is trusted for itself, as pip does it too.
            let trust = self.trust(remote.trust, trusted, &url);
            let request = self.request(&url, trust, login, pip).map_err(NotSent::Setup)?;
            let answer = self.send(&url, request.headers(headers.clone())).await?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let next = to.and_then(|to| url.join(to).ok());
            let next =
                next.ok_or_else(|| NotSent::Redirect("it redirects to nowhere".to_owned()))?;
            // What a redirect has of a login is none that the user gave.
            was_https |= url.scheme() == "https";
            url = bare(next);
            let http = url.scheme() == "http" && !was_https && is_loopback(&url);
            if url.scheme() != "https" && !http && !is_trusted(trusted, &url) {
                let reason = format!("it redirects to {}, which is not https", shown(&url));
                return Err(NotSent::Redirect(reason));
            }
        }
        Err(NotSent::Redirect(format!("more than {MOST_REDIRECTS} redirects")))
    }

    /// Whose rules decide about the host of `url`. One whose authority is set up is known by it, whatever
    /// pip is told.
    fn trust(&self, first: Trust, trusted: &[String], url: &Url) -> Trust {
        let by_ca = self.config.host(url).is_some_and(|(_, host)| host.ca.is_some());
        match first {
            Trust::System => Trust::System,
            Trust::Pip | Trust::PipTrusted if is_trusted(trusted, url) && !by_ca => {
                Trust::PipTrusted
            }
            Trust::Pip | Trust::PipTrusted => Trust::Pip,
        }
    }

    /// Sends a request; once more at once where a connection that was kept broke before it was answered:
    /// servers close those that nobody uses, also while somebody begins to.
    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, NotSent> {
        let answered = || self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let again = request.try_clone().filter(|_| answered().remove(&url.origin()));
        let mut sent = request.send().await;
        if let Some(again) = again.filter(|_| sent.as_ref().is_err_and(broke_off)) {
            sent = again.send().await;
        }
        if sent.is_ok() {
            answered().insert(url.origin());
        }
        sent.map_err(NotSent::Http)
    }

    /// A request by the client of its trust and host.
    fn request(
        &self,
        url: &Url,
        trust: Trust,
        login: Option<Login>,
        pip: Option<&PipSettings>,
    ) -> Result<RequestBuilder, FetchError> {
        let host = self.config.host(url);
        if let Some((name, host)) = host
            && (trust == Trust::PipTrusted || (url.scheme() != "https" && !is_loopback(url)))
        {
            keep_secrets(name, host)?;
        }
        let min_tls = self.config.min_tls(url);
        let key = (trust, host.map(|(name, _)| name.to_owned()), min_tls);
        let known = self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let client = match known {
            Some(client) => client,
            None => {
                let client = self.build(trust, host, min_tls, pip)?;
                let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
                clients.entry(key).or_insert(client).clone()
            }
        };
        let request = client.get(url.clone());
        let own = host.and_then(|(name, host)| Some((name, host.login.as_ref()?)));
        Ok(match (&login, own) {
            (Some(login), _) => login.apply(request),
            (None, Some((name, login))) => login
                .as_ref()
                .map_err(|reason| setup(format!("the login for {name}"), reason))?
                .apply(request),
            (None, None) => request,
        })
    }

    fn build(
        &self,
        trust: Trust,
        host: Option<(&str, &Host)>,
        min_tls: MinTls,
        pip: Option<&PipSettings>,
    ) -> Result<Client, FetchError> {
        let mut headers = HeaderMap::new();
        // The digest is of the bytes as they are stored, and ranges must be of them too.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut builder = Client::builder()
            .user_agent(concat!("treelay/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(self.limits.connect)
            .dns_resolver(self.names.clone())
            .redirect(redirect::Policy::none())
            .no_proxy();
        let own_proxy = pip.and_then(|pip| pip.proxy.clone());
        builder = match own_proxy {
            Some(url) => {
                let proxies =
                    Proxies { http: Some(url.clone()), https: Some(url), ..self.proxies.clone() };
                proxies.apply(builder)?
            }
            None => self.proxies.apply(builder)?,
        };
        if let Some(path) = pip.and_then(|pip| pip.cert.as_deref()) {
            builder = builder.tls_certs_only(certificates(path)?);
        }
        let every = self.config.every_host().map(|host| (EVERY_HOST, host));
        for (name, set) in every.into_iter().chain(host) {
            if let Some(pem) = &set.ca {
                let of = || format!("the certificates for {name}");
                let pem = pem.as_ref().map_err(|reason| setup(of(), reason))?;
                let all =
                    Certificate::from_pem_bundle(pem).map_err(|e| setup(of(), &innermost(&e)))?;
                if all.is_empty() {
                    return Err(setup(of(), "the file holds no certificate"));
                }
                builder = builder.tls_certs_merge(all);
            }
        }
        builder = builder.tls_version_min(match min_tls {
            MinTls::V1_2 => tls::Version::TLS_1_2,
            MinTls::V1_3 => tls::Version::TLS_1_3,
        });
        if let Some((name, pem)) =
            host.and_then(|(name, host)| Some((name, host.identity.as_ref()?)))
        {
            let of = || format!("the client certificate for {name}");
            let pem = pem.as_ref().map_err(|reason| setup(of(), reason))?;
            // What a parser says of a key may show some of it.
            let identity = reqwest::Identity::from_pem(pem.reveal().as_bytes()).map_err(|_| {
                setup(of(), "a PEM certificate and its unencrypted key are expected")
            })?;
            builder = builder.identity(identity);
        } else if let Some(path) = pip.and_then(|pip| pip.client_cert.as_deref()) {
            let pem = read(path)?;
            let identity =
                reqwest::Identity::from_pem(&pem).map_err(|e| setup_file(path, innermost(&e)))?;
            builder = builder.identity(identity);
        }
        if trust == Trust::PipTrusted {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| setup("TLS".to_owned(), &innermost(&error)))
    }
}

fn setup(what: String, reason: &str) -> FetchError {
    FetchError::Setup { what, reason: reason.to_owned() }
}

/// Where anybody may be who answers, nobody is told what is set up for a host.
fn keep_secrets(name: &str, host: &Host) -> Result<(), FetchError> {
    let what = match (&host.login, &host.identity) {
        (Some(_), _) => "login",
        (None, Some(_)) => "client certificate",
        (None, None) => return Ok(()),
    };
    let reason = "it is not sent where any certificate is accepted, or none is asked for, as pip's \
                  trusted-host says; set up `ca` for the host instead, and https";
    Err(setup(format!("the {what} for {name}"), reason))
}

/// The address without a login.
fn bare(mut url: Url) -> Url {
    let _ = take_login(&mut url);
    url
}

/// pip's `cert`: a PEM bundle that replaces the system's certificates, as it does for pip.
fn certificates(path: &Path) -> Result<Vec<Certificate>, FetchError> {
    let pem = read(path)?;
    let all = Certificate::from_pem_bundle(&pem).map_err(|e| setup_file(path, innermost(&e)))?;
    if all.is_empty() {
        return Err(setup_file(path, "it holds no certificate".to_owned()));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    std::fs::read(path).map_err(|error| setup_file(path, error.to_string()))
}

fn setup_file(path: &Path, reason: String) -> FetchError {
    FetchError::Setup { what: format!("TLS with {}", path.display()), reason }
}

const MOST_REDIRECTS: usize = 10;

/// Whether `url` is at one of pip's trusted hosts, given as `host` or `host:port`.
pub(super) fn is_trusted(trusted: &[String], url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    trusted.iter().any(|entry| {
        entry.eq_ignore_ascii_case(host)
            || url
                .port_or_known_default()
                .is_some_and(|port| entry.eq_ignore_ascii_case(&format!("{host}:{port}")))
    })
}

/// What it means that there is no answer, and whether trying again may help.
pub(super) fn read_failure(error: NotSent, limits: &Limits) -> Result<(Outcome, bool), FetchError> {
    let error = match error {
        NotSent::Setup(error) => return Err(error),
        NotSent::Redirect(reason) => return Ok((Outcome::Redirect(reason), false)),
        NotSent::Http(error) => error,
    };
    let reason = innermost(&error);
    Ok(match tls_error(&error) {
        // That is what the server is, not what the connection did.
        Some(rustls::Error::InvalidCertificate(_)) => (Outcome::Certificate(reason), false),
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            (Outcome::Tls(format!("{reason} (it lets in who shows a client certificate)")), true)
        }
        Some(_) => (Outcome::Tls(reason), true),
        None if error.is_timeout() && !error.is_connect() => {
            (Outcome::Silent { limit: limits.first_byte }, true)
        }
        // What the client says of its own limit does not say which it is.
        None if error.is_connect() && reason == "operation timed out" => {
            let limit = super::error::seconds(&limits.connect);
            (Outcome::Connect(format!("no connection within {limit}")), true)
        }
        None if error.is_connect() => {
            (Outcome::Connect(format!("connecting failed: {reason}")), true)
        }
        None => (Outcome::Connect(format!("the connection broke: {reason}")), true),
    })
}

/// Whether a connection was there and ended without an answer.
fn broke_off(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout() && tls_error(error).is_none()
}

/// What of the error is of TLS.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // Its source is that of what it wraps, which would be skipped.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The text of the last error in the chain: the outer ones repeat the address, which may hold
/// secrets, and say less.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    if std::ptr::addr_eq(inner, error) {
        return match error.url() {
            Some(url) => error.to_string().replace(url.as_str(), &shown(url)),
            None => error.to_string(),
        };
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_as_curl_reads_them() {
        let env = |pairs: &[(&str, &str)]| {
            let map = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Proxies::from_env(&map)
        };
        assert!(env(&[]) == Proxies::default());
        let both = env(&[("HTTPS_PROXY", "http://up"), ("https_proxy", "http://low")]);
        assert_eq!(both.https.as_deref(), Some("http://low"));
        let all = env(&[("ALL_PROXY", "http://all"), ("HTTP_PROXY", ""), ("NO_PROXY", "a,b")]);
        assert_eq!((all.http.as_deref(), all.no.as_str()), (Some("http://all"), "a,b"));
        let asked = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://of.the.asker")];
        assert!(env(&asked) == Proxies::default());
        let own = env(&[("http_proxy", "http://own"), asked[0], asked[1]]);
        assert_eq!(own.http.as_deref(), Some("http://own"));
    }

    #[test]
    fn trusted_hosts_with_and_without_port() {
        let trusted = ["a.example".to_owned(), "b.example:8080".to_owned()];
        for (url, expected) in [
            ("http://A.example:99/", true),
            ("http://b.example:8080/", true),
            ("http://b.example/", false),
            ("http://c.example/", false),
        ] {
            assert_eq!(is_trusted(&trusted, &Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
