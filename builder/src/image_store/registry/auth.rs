//! What convinces a registry: logins, and the tokens got for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::challenge::{self, Challenge, Scopes};
use super::failure::{Failure, read_limited, words_of};
use super::http::Wire;
use super::logins::{Login, LoginKind, Logins};
use crate::image_store::error::{Result, StoreError};
use crate::image_store::repository::Repository;

/// Longest answer of a token server that is read, in bytes.
const TOKEN_LIMIT: u64 = 1 << 20;

/// How long a token is good when its server does not say (distribution's token specification).
const TOKEN_LIFE: u64 = 60;

/// Knows what to send to which registry. One request for a token at a time: the others wait for
/// it and use it as well.
pub(super) struct Auth {
    logins: Logins,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By repository.
    logins: HashMap<Repository, Option<Login>>,
    /// What a host wanted last.
    challenges: HashMap<String, Challenge>,
    /// By host and scopes.
    tokens: HashMap<(String, Scopes), Token>,
}

struct Token {
    header: HeaderValue,
    until: Instant,
}

/// A token server's answer (distribution's token specification).
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    pub(super) fn new(logins: Logins) -> Self {
        Self { logins, known: Mutex::default() }
    }

    /// The header to send, as far as is known what the registry wants.
    pub(super) async fn header(
        &self,
        wire: &Wire,
        repository: &Repository,
        scopes: &Scopes,
    ) -> std::result::Result<Option<HeaderValue>, Failure> {
        let mut known = self.known.lock().await;
        let Some(challenge) = known.challenges.get(repository.host()).cloned() else {
            return Ok(None);
        };
        self.answer(&mut known, wire, repository, scopes, &challenge).await
    }

    /// The header to send after a 401 whose headers are `refusal`; `used` is what was sent.
    /// `Ok(None)` when there is nothing better to send.
    pub(super) async fn header_after(
        &self,
        wire: &Wire,
        repository: &Repository,
        scopes: &Scopes,
        refusal: &HeaderMap,
        used: Option<&HeaderValue>,
    ) -> std::result::Result<Option<HeaderValue>, Failure> {
        let Some(challenge) = challenge::choose(refusal) else { return Ok(None) };
        let mut known = self.known.lock().await;
        let key = (repository.host().to_owned(), scopes.clone());
        match known.tokens.get(&key) {
            // Another task was faster and got a new one.
            Some(token) if Some(&token.header) != used => return Ok(Some(token.header.clone())),
            _ => known.tokens.remove(&key),
        };
        known.challenges.insert(repository.host().to_owned(), challenge.clone());
        let header = self.answer(&mut known, wire, repository, scopes, &challenge).await?;
        Ok(header.filter(|header| Some(header) != used))
    }

    /// Where the login for `repository` came from, for errors.
    pub(super) async fn login_found(&self, repository: &Repository) -> Result<Option<String>> {
        let mut known = self.known.lock().await;
        Ok(self.login(&mut known, repository).await?.map(|login| login.found_in))
    }

    async fn answer(
        &self,
        known: &mut Known,
        wire: &Wire,
        repository: &Repository,
        scopes: &Scopes,
        challenge: &Challenge,
    ) -> std::result::Result<Option<HeaderValue>, Failure> {
        match challenge {
            Challenge::Basic => {
                Ok(match self.login(known, repository).await?.map(|login| login.kind) {
                    Some(LoginKind::Password { user, password }) => Some(basic(&user, &password)?),
                    Some(LoginKind::RegistryToken(token)) => Some(bearer(&token)?),
                    Some(LoginKind::IdentityToken(_)) | None => None,
                })
            }
            Challenge::Bearer { realm, service, scope } => {
                let key = (repository.host().to_owned(), scopes.clone());
                if let Some(token) = known.tokens.get(&key)
                    && Instant::now() < token.until
                {
                    return Ok(Some(token.header.clone()));
                }
                let login = self.login(known, repository).await?;
                if let Some(Login { kind: LoginKind::RegistryToken(token), .. }) = &login {
                    return Ok(Some(bearer(token)?));
                }
                // A challenge remembered from another request may speak of another repository.
                let asked = Scopes::parse(scope.as_deref().unwrap_or_default());
                let scopes = if key.1 == asked { asked } else { scopes.and(&asked) };
                let wanted = Wanted { realm, service: service.as_deref(), scopes };
                let token = get_token(wire, repository, &wanted, login.as_ref()).await?;
                let header = token.header.clone();
                known.tokens.insert(key, token);
                Ok(Some(header))
            }
        }
    }

    async fn login(&self, known: &mut Known, repository: &Repository) -> Result<Option<Login>> {
        if let Some(login) = known.logins.get(repository) {
            return Ok(login.clone());
        }
        let (logins, wanted) = (self.logins.clone(), repository.clone());
        let login = tokio::task::spawn_blocking(move || logins.find(&wanted))
            .await
            .map_err(|error| StoreError::io("waiting for a thread")(error.into()))??;
        known.logins.insert(repository.clone(), login.clone());
        Ok(login)
    }
}

struct Wanted<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scopes: Scopes,
}

async fn get_token(
    wire: &Wire,
    repository: &Repository,
    wanted: &Wanted<'_>,
    login: Option<&Login>,
) -> std::result::Result<Token, Failure> {
    let registry = repository.host();
    let request = format!("give a token for {}", repository.path());
    let bad = |reason: String| StoreError::BadAnswer {
        registry: registry.to_owned(),
        request: request.clone(),
        reason,
    };
    let mut url = Url::parse(wanted.realm)
        .map_err(|error| bad(format!("the address of its token server: {error}")))?;
    wire.allow(&url, registry, "its token server has an http address")?;
    let mut pairs: Vec<(&str, String)> = Vec::new();
    pairs.extend(wanted.service.map(|service| ("service", service.to_owned())));
    let scopes = wanted.scopes.texts();

    let mut headers = HeaderMap::new();
    let builder = if let Some(Login { kind: LoginKind::IdentityToken(token), .. }) = login {
        // OAuth2 (distribution's docs/spec/auth/oauth.md): a form, scopes separated by spaces.
        pairs.push(("grant_type", "refresh_token".to_owned()));
        pairs.push(("client_id", "treelay".to_owned()));
        pairs.push(("refresh_token", token.clone()));
        pairs.push(("scope", scopes.join(" ")));
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(reqwest::header::CONTENT_TYPE, kind);
        wire.client(&url)?.request(Method::POST, url).body(form)
    } else {
        if let Some(Login { kind: LoginKind::Password { user, password }, .. }) = login {
            headers.insert(AUTHORIZATION, basic(user, password)?);
            pairs.push(("account", user.clone()));
        }
        pairs.extend(scopes.into_iter().map(|scope| ("scope", scope)));
        url.query_pairs_mut().extend_pairs(&pairs);
        wire.client(&url)?.request(Method::GET, url)
    };
    let response = wire.execute(builder.headers(headers), registry, &request).await?;
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST)
    {
        let words = words_of(response).await;
        let detail = match login {
            Some(login) => {
                format!("the login found in {} was not accepted: {words}", login.found_in)
            }
            None => format!("no login was found, and it gives no token without one: {words}"),
        };
        return Err(
            StoreError::Unauthorized { registry: registry.to_owned(), request, detail }.into()
        );
    }
    if !status.is_success() {
        return Err(Failure::of(response, registry, &request).await);
    }
    let bytes = read_limited(response, TOKEN_LIMIT, wire.stall(), registry, &request).await?;
    // Neither the token nor what stands around it belongs in a message.
    let answer: Answer = serde_json::from_slice(&bytes)
        .map_err(|_| bad("the token server's answer is not JSON with a token".to_owned()))?;
    let Some(token) = answer.token.or(answer.access_token).filter(|token| !token.is_empty()) else {
        return Err(bad("the token server's answer has no token".to_owned()).into());
    };
    // Leave it a little earlier than it leaves us.
    let life = answer.expires_in.unwrap_or(TOKEN_LIFE).clamp(TOKEN_LIFE, 24 * 3600);
    let until = Instant::now() + Duration::from_secs(life * 9 / 10);
    Ok(Token { header: bearer(&token)?, until })
}

fn basic(user: &str, password: &str) -> Result<HeaderValue> {
    secret_header(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn bearer(token: &str) -> Result<HeaderValue> {
    secret_header(format!("Bearer {token}"))
}

fn secret_header(text: String) -> Result<HeaderValue> {
    let mut header = HeaderValue::try_from(text).map_err(|_| {
        let reason = std::io::Error::other("it holds characters that no header may hold");
        StoreError::io("sending a login or token")(reason)
    })?;
    header.set_sensitive(true);
    Ok(header)
}

pub(super) type SharedAuth = Arc<Auth>;
