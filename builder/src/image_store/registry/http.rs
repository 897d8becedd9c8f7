//! Requests to registries: logins, retries, redirects, silence.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Body, Method, NoProxy, Proxy, RequestBuilder, Response, StatusCode, Url, redirect};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::RegistryOptions;
use super::auth::{Auth, SharedAuth};
use super::challenge::Scopes;
use super::failure::{Attempt, Failure, settled, timeout, words_of};
use super::feed::{Feed, Meter};
use super::referrers::Known;
use super::scheme::Schemes;
use super::shared::Turns;
use crate::image_store::error::{Result, StoreError};
use crate::image_store::repository::{Repository, is_loopback};

/// Redirects that are followed for one request.
const REDIRECTS: usize = 5;

/// The lowest level: connection pools and the rules of what may be reached how.
pub(super) struct Wire {
    /// For plain http. It trusts no certificate.
    plain: reqwest::Client,
    /// For https, made when it is needed: reading the system's certificates takes as long as
    /// verifying an image in a registry on this machine.
    secure: Mutex<Option<reqwest::Client>>,
    options: RegistryOptions,
}

impl Wire {
    fn new(options: RegistryOptions) -> Result<Self> {
        // A proxy for http may itself be reached by https.
        let no_tls = options.http_proxy.is_none();
        let plain = Self::build(&options, no_tls)?;
        Ok(Self { plain, secure: Mutex::default(), options })
    }

    fn build(options: &RegistryOptions, no_tls: bool) -> Result<reqwest::Client> {
        let broken = |error: reqwest::Error| {
            StoreError::io("setting up the http client")(std::io::Error::other(error))
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("treelay/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            // Redirects are followed here, where it is known what may travel with them.
            .redirect(redirect::Policy::none())
            .referer(false)
            // No proxies but those that were passed in.
            .no_proxy();
        let exceptions = format!("localhost,127.0.0.0/8,::1,{}", options.no_proxy);
        let exceptions = NoProxy::from_string(&exceptions);
        if let Some(proxy) = &options.https_proxy {
            let proxy = Proxy::https(proxy).map_err(broken)?;
            builder = builder.proxy(proxy.no_proxy(exceptions.clone()));
        }
        if let Some(proxy) = &options.http_proxy {
            let proxy = Proxy::http(proxy).map_err(broken)?;
            builder = builder.proxy(proxy.no_proxy(exceptions));
        }
        if no_tls {
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(broken)
    }

    /// What asks at `url`.
    ///
    /// # Errors
    /// As of [`Wire::secure`].
    pub(super) fn client(&self, url: &Url) -> Result<reqwest::Client> {
        if url.scheme() == "http" { Ok(self.plain.clone()) } else { self.secure() }
    }

    /// What asks by https.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the system's certificates cannot be used.
    pub(super) fn secure(&self) -> Result<reqwest::Client> {
        let mut secure = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*secure {
            Some(client) => Ok(client.clone()),
            None => Ok(secure.insert(Self::build(&self.options, false)?).clone()),
        }
    }

    pub(super) fn stall(&self) -> Duration {
        self.options.stall_timeout
    }

    /// Refuses plain http to hosts that are not this machine, unless it was asked for.
    pub(super) fn allow(&self, url: &Url, registry: &str, met: &str) -> Result<()> {
        let host = url.host_str().unwrap_or_default();
        let fine = match url.scheme() {
            "https" => true,
            "http" => self.options.plain_http || is_loopback(host),
            _ => false,
        };
        if fine {
            return Ok(());
        }
        let reason = format!("{met} ({}://{host})", url.scheme());
        Err(StoreError::PlainHttpRefused { registry: registry.to_owned(), reason })
    }

    /// Sends a request without a stream and waits for the head of the answer.
    pub(super) async fn execute(
        &self,
        builder: RequestBuilder,
        registry: &str,
        request: &str,
    ) -> Attempt<Response> {
        match tokio::time::timeout(self.stall(), builder.send()).await {
            Ok(result) => result.map_err(|error| Failure::of_connection(error, registry, request)),
            Err(_) => Err(timeout(self.stall(), registry, request)),
        }
    }

    /// Sends a request with a stream: silence counts from the last byte that was taken.
    async fn execute_upload(
        &self,
        builder: RequestBuilder,
        meter: &Meter,
        registry: &str,
        request: &str,
    ) -> Attempt<Response> {
        let sending = builder.send();
        tokio::pin!(sending);
        loop {
            let limit = if meter.is_complete() {
                // A registry may hash or move what it got before it answers.
                self.stall().max(self.options.finish_timeout)
            } else {
                self.stall()
            };
            let deadline = meter.last_move() + limit;
            tokio::select! {
                result = &mut sending => {
                    return match (meter.take_error(), result) {
                        (Some(ours), _) => Err(ours.into()),
                        (None, Ok(response)) => Ok(response),
                        (None, Err(error)) => Err(Failure::of_connection(error, registry, request)),
                    };
                }
                () = tokio::time::sleep_until(deadline) => {
                    if meter.last_move() + limit <= Instant::now() {
                        return Err(timeout(limit, registry, request));
                    }
                }
            }
        }
    }
}

/// What to send.
pub(super) enum Payload {
    None,
    Bytes(Vec<u8>),
    /// The next `length` bytes of a blob.
    Feed {
        feed: Feed,
        length: u64,
    },
}

/// One request, in the terms of this folder.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) repository: &'a Repository,
    pub(super) scopes: Scopes,
    /// For people: completes "registry refuses to …".
    pub(super) request: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
}

impl<'a> Ask<'a> {
    pub(super) fn new(
        method: Method,
        url: Url,
        repository: &'a Repository,
        scopes: &Scopes,
        request: impl Into<String>,
    ) -> Self {
        let (scopes, request) = (scopes.clone(), request.into());
        let (headers, payload) = (HeaderMap::new(), Payload::None);
        Self { method, url, repository, scopes, request, headers, payload }
    }

    pub(super) fn accept(mut self, types: &[&'static str]) -> Self {
        for kind in types {
            self.headers.append(ACCEPT, HeaderValue::from_static(kind));
        }
        self
    }

    pub(super) fn body(mut self, kind: &str, payload: Payload) -> Self {
        if let Ok(kind) = HeaderValue::from_str(kind) {
            self.headers.insert(CONTENT_TYPE, kind);
        }
        self.payload = payload;
        self
    }
}

/// Everything the repositories of one run share: connections, tokens, limits.
pub(super) struct Http {
    pub(super) wire: Wire,
    auth: SharedAuth,
    pub(super) schemes: Schemes,
    /// Uploads that may run at once.
    pub(super) uploads: Semaphore,
    /// What is known of referrers.
    pub(super) referrers: Known,
    /// Whose turn it is to add under a tag.
    pub(super) turns: Turns,
    /// Makes retries of several tasks come at different times.
    jitter: AtomicU64,
}

impl Http {
    pub(super) fn new(options: RegistryOptions) -> Result<Self> {
        Ok(Self {
            auth: Arc::new(Auth::new(options.logins.clone())),
            schemes: Schemes::default(),
            referrers: Known::default(),
            turns: Turns::default(),
            uploads: Semaphore::new(options.uploads.max(1)),
            jitter: AtomicU64::new(fastrand::u64(..)),
            wire: Wire::new(options)?,
        })
    }

    pub(super) fn options(&self) -> &RegistryOptions {
        &self.wire.options
    }

    /// Sends until it works, fails for good, or was tried often enough. Answers of 400 and more are
    /// errors, but for the statuses in `fine`.
    pub(super) async fn send(&self, ask: &Ask<'_>, fine: &[StatusCode]) -> Result<Response> {
        let mut failed = 0;
        loop {
            match self.send_once(ask, fine).await {
                Ok(response) => return Ok(response),
                Err(failure) => failed = self.pause(failure, failed).await?,
            }
        }
    }

    /// Sends and reads the whole answer, of at most `limit` bytes; retried as one.
    pub(super) async fn fetch(
        &self,
        ask: &Ask<'_>,
        fine: &[StatusCode],
        limit: u64,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>)> {
        let mut failed = 0;
        loop {
            let attempt = async {
                let response = self.send_once(ask, fine).await?;
                let (status, headers) = (response.status(), response.headers().clone());
                let (stall, registry) = (self.wire.stall(), ask.repository.host());
                let bytes =
                    super::failure::read_limited(response, limit, stall, registry, &ask.request);
                Ok((status, headers, bytes.await?))
            };
            match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failed = self.pause(failure, failed).await?,
            }
        }
    }

    /// After the failure number `failed + 1`: waits and gives the new count, or gives up.
    pub(super) async fn pause(&self, failure: Failure, failed: u32) -> Result<u32> {
        let options = self.options();
        let wait = failure.wait.unwrap_or_default();
        if !failure.transient || failed >= options.retries || wait > options.longest_wait {
            return Err(failure.error);
        }
        let backoff = options.backoff.saturating_mul(1 << failed.min(10));
        // Full jitter on half of the step.
        let seed = self.jitter.fetch_add(1, Ordering::Relaxed);
        let part = 0.5 + fastrand::Rng::with_seed(seed).f64() / 2.0;
        let backoff = backoff.mul_f64(part).min(options.longest_wait);
        tracing::debug!(error = %failure.error, "trying again");
        tokio::time::sleep(backoff.max(wait)).await;
        Ok(failed + 1)
    }

    /// One attempt: with a login when the registry wants one.
    pub(super) async fn send_once(&self, ask: &Ask<'_>, fine: &[StatusCode]) -> Attempt<Response> {
        let registry = ask.repository.host();
        let mut header = self.auth.header(&self.wire, ask.repository, &ask.scopes).await?;
        let mut again = true;
        loop {
            let response = self.follow(ask, header.as_ref()).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED {
                let better = if std::mem::take(&mut again) {
                    let refusal = response.headers();
                    let (wire, used) = (&self.wire, header.as_ref());
                    let (repository, scopes) = (ask.repository, &ask.scopes);
                    self.auth.header_after(wire, repository, scopes, refusal, used).await?
                } else {
                    None
                };
                match better {
                    // The piece of the blob is spent: whoever sends it opens it again, and the
                    // new token is remembered.
                    Some(_) if matches!(ask.payload, Payload::Feed { .. }) => {
                        return Err(Failure::transient(self.unauthorized(ask, response).await?));
                    }
                    Some(better) => header = Some(better),
                    None => return Err(self.unauthorized(ask, response).await?.into()),
                }
            } else if status.as_u16() < 400 || fine.contains(&status) {
                return Ok(response);
            } else {
                return Err(Failure::of(response, registry, &ask.request).await);
            }
        }
    }

    async fn unauthorized(&self, ask: &Ask<'_>, response: Response) -> Result<StoreError> {
        let words = words_of(response).await;
        let host = ask.repository.host();
        let mut detail = match self.auth.login_found(ask.repository).await? {
            Some(place) => format!("the login found in {place} is wrong, or does not allow it"),
            None => format!("no login for it was found; make one with `podman login {host}`"),
        };
        if !words.is_empty() {
            detail = format!("{detail} ({words})");
        }
        let (registry, request) = (host.to_owned(), ask.request.clone());
        Ok(StoreError::Unauthorized { registry, request, detail })
    }

    /// Follows redirects of reading requests. The login stays with the host it is for.
    async fn follow(&self, ask: &Ask<'_>, auth: Option<&HeaderValue>) -> Attempt<Response> {
        let registry = ask.repository.host();
        let reading = matches!(ask.method, Method::GET | Method::HEAD);
        let mut url = ask.url.clone();
        let mut response = self.first_hop(ask, &mut url, auth).await?;
        for _ in 0..REDIRECTS {
            if !(response.status().is_redirection() && reading) {
                return Ok(response);
            }
            url = self.location(&response, &url, registry, &ask.request)?;
            response = self.hop(ask, &url, auth).await?;
        }
        if !(response.status().is_redirection() && reading) {
            return Ok(response);
        }
        let reason = format!("more than {REDIRECTS} redirects");
        let (registry, request) = (registry.to_owned(), ask.request.clone());
        Err(StoreError::BadAnswer { registry, request, reason }.into())
    }

    /// Sends a request to one address.
    pub(super) async fn hop(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        auth: Option<&HeaderValue>,
    ) -> Attempt<Response> {
        let registry = ask.repository.host();
        self.wire.allow(url, registry, "it sends us to an http address")?;
        tracing::debug!(method = %ask.method, host = url.host_str(), path = url.path(), "asking");
        let client = self.wire.client(url)?;
        let mut builder =
            client.request(ask.method.clone(), url.clone()).headers(ask.headers.clone());
        let home = self.base(ask.repository)?;
        if let Some(auth) = auth.filter(|_| url.origin() == home.origin()) {
            builder = builder.header(AUTHORIZATION, auth);
        }
        match &ask.payload {
            Payload::None if matches!(ask.method, Method::POST | Method::PUT | Method::PATCH) => {
                let builder = builder.header(CONTENT_LENGTH, 0);
                self.wire.execute(builder, registry, &ask.request).await
            }
            Payload::None => self.wire.execute(builder, registry, &ask.request).await,
            Payload::Bytes(bytes) => {
                let builder = builder.body(bytes.clone());
                self.wire.execute(builder, registry, &ask.request).await
            }
            Payload::Feed { feed, length } => {
                let (stream, meter) = feed.take(*length).await?;
                let builder =
                    builder.header(CONTENT_LENGTH, *length).body(Body::wrap_stream(stream));
                self.wire.execute_upload(builder, &meter, registry, &ask.request).await
            }
        }
    }

    /// The address in `Location`, relative to `from`.
    pub(super) fn location(
        &self,
        response: &Response,
        from: &Url,
        registry: &str,
        request: &str,
    ) -> Result<Url> {
        let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let joined = text.ok_or("its Location is missing".to_owned());
        let joined = joined.and_then(|text| {
            from.join(text).map_err(|error| format!("its Location cannot be read: {error}"))
        });
        let mut url = joined.map_err(|reason| StoreError::BadAnswer {
            registry: registry.to_owned(),
            request: request.to_owned(),
            reason,
        })?;
        // Registries behind a proxy that ends TLS often believe that they speak http.
        let same_host = url.host_str() == from.host_str() && url.port() == from.port();
        if from.scheme() == "https" && url.scheme() == "http" && same_host {
            // http to https is always allowed.
            let _ = url.set_scheme("https");
        }
        self.wire.allow(&url, registry, "it sends us to an http address")?;
        Ok(url)
    }

    pub(super) async fn send_settled(
        &self,
        ask: &Ask<'_>,
        fine: &[StatusCode],
    ) -> Result<Response> {
        settled(self.send_once(ask, fine).await)
    }
}
