//! The HTTP clients: certificates, proxies, redirects, and how failures are read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, RequestBuilder, Url, redirect};

use super::pip::PipSettings;
use super::place::{Remote, Trust, is_loopback, redact, shown};
use super::{FetchError, Limits, Outcome};

/// The proxies that the environment names, in curl's variables.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    no: String,
}

impl Proxies {
    /// Lowercase wins over uppercase, the scheme's own over `ALL_PROXY`, as in curl.
    pub fn from_env(env: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| {
            let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
            set(name).or_else(|| set(&name.to_uppercase()))
        };
        let all = get("all_proxy");
        Self {
            http: get("http_proxy").or_else(|| all.clone()),
            https: get("https_proxy").or(all),
            no: get("no_proxy").unwrap_or_default(),
        }
    }

    fn apply(&self, mut builder: ClientBuilder) -> Result<ClientBuilder, FetchError> {
        // Go's rule rather than curl's: loopback is never asked through a proxy.
        let no = format!("{},localhost,127.0.0.0/8,::1", self.no);
        let no = || NoProxy::from_string(&no);
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

fn setup_proxy(url: &str, error: &reqwest::Error) -> FetchError {
    FetchError::Setup { what: format!("the proxy {}", redact(url)), reason: innermost(error) }
}

/// Clients, each made when first needed: reading the system's certificates takes longer than a
/// build that has nothing to do.
pub(super) struct Http {
    limits: Limits,
    proxies: Proxies,
    clients: [OnceLock<Client>; 3],
}

impl Http {
    pub fn new(limits: Limits, proxies: Proxies) -> Self {
        Self { limits, proxies, clients: Default::default() }
    }

    /// A request for `remote` by the client of its trust.
    pub fn get(
        &self,
        remote: &Remote,
        pip: Option<&PipSettings>,
    ) -> Result<RequestBuilder, FetchError> {
        let slot = &self.clients[remote.trust as usize];
        let client = match slot.get() {
            Some(client) => client,
            None => {
                let client = self.build(remote.trust, pip)?;
                slot.get_or_init(|| client)
            }
        };
        let request = client.get(remote.url.clone());
        Ok(match &remote.login {
            Some(login) => request.basic_auth(&login.user, Some(&login.password)),
            None => request,
        })
    }

    fn build(&self, trust: Trust, pip: Option<&PipSettings>) -> Result<Client, FetchError> {
        let mut headers = HeaderMap::new();
        // The digest is of the bytes as they are stored, and ranges must be of them too.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let pip = pip.filter(|_| trust != Trust::System);
        let trusted = pip.map(|pip| pip.trusted_hosts.clone()).unwrap_or_default();
        let mut builder = Client::builder()
            .user_agent(concat!("treelay/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(self.limits.connect)
            .redirect(redirects(trusted))
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
        if let Some(path) = pip.and_then(|pip| pip.client_cert.as_deref()) {
            let pem = read(path)?;
            let identity =
                reqwest::Identity::from_pem(&pem).map_err(|e| setup_file(path, innermost(&e)))?;
            builder = builder.identity(identity);
        }
        if trust == Trust::PipTrusted {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| FetchError::Setup {
            what: "TLS".to_owned(),
            reason: innermost(&error),
        })
    }
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

/// Follows redirects to https, and to http on loopback or at a trusted host only.
fn redirects(trusted: Vec<String>) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let next = attempt.url();
        if attempt.previous().len() > MOST_REDIRECTS {
            return attempt.error(RefusedRedirect(format!("more than {MOST_REDIRECTS} redirects")));
        }
        match next.scheme() {
            "https" => attempt.follow(),
            "http" if is_loopback(next) || is_trusted(&trusted, next) => attempt.follow(),
            _ => {
                let reason = format!("it redirects to {}, which is not https", shown(next));
                attempt.error(RefusedRedirect(reason))
            }
        }
    })
}

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

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct RefusedRedirect(String);

/// What a failed request means, and whether trying again may help.
pub(super) fn read_failure(error: &reqwest::Error, first_byte: Duration) -> (Outcome, bool) {
    if error.is_redirect() {
        return (Outcome::Redirect(innermost(error)), false);
    }
    let reason = innermost(error);
    // rustls says so for what the server is, not for what the connection did.
    if reason.contains("invalid peer certificate") {
        return (Outcome::Certificate(reason), false);
    }
    if error.is_timeout() && !error.is_connect() {
        return (Outcome::Silent { limit: first_byte }, true);
    }
    let outcome = match error.is_connect() {
        true => Outcome::Connect(format!("connecting failed: {reason}")),
        false => Outcome::Connect(format!("the connection broke: {reason}")),
    };
    (outcome, true)
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
