//! A certificate authority, and what servers and clients have of it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// A year in which certificates end that are good.
const FAR: i32 = 4000;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    pub fn pem(&self) -> String {
        self.pem.clone()
    }

    fn certify(&self, name: &str, until: i32) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A client's certificate and key.
    pub fn client(&self) -> String {
        let (certificate, key) = self.client_pems();
        format!("{certificate}\n{key}")
    }

    /// The same apart.
    pub fn client_pems(&self) -> (String, String) {
        let (certificate, key) = self.certify("client.test", FAR);
        (certificate.pem(), key.serialize_pem())
    }

    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.config(name, &[&TLS12, &TLS13], None)
    }

    /// One whose certificate was good once.
    pub fn server_expired(&self, name: &str) -> Arc<ServerConfig> {
        self.config_until(name, 2001, &[&TLS12, &TLS13], None)
    }

    /// One that asks in 1.3 for a certificate of this authority, and insists.
    pub fn server_that_insists_1_3(&self, name: &str) -> Arc<ServerConfig> {
        self.config(name, &[&TLS13], Some(true))
    }

    /// One that speaks nothing newer than 1.2.
    pub fn server_1_2(&self, name: &str) -> Arc<ServerConfig> {
        self.config(name, &[&TLS12], None)
    }

    /// One that asks for a certificate of this authority, and may insist.
    pub fn server_that_asks(&self, name: &str, insist: bool) -> Arc<ServerConfig> {
        // In 1.3 a client is done before it is refused, and may hear of that as a broken connection.
        let versions: &[_] = if insist { &[&TLS12] } else { &[&TLS12, &TLS13] };
        self.config(name, versions, Some(insist))
    }

    fn config(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        asks: Option<bool>,
    ) -> Arc<ServerConfig> {
        self.config_until(name, FAR, versions, asks)
    }

    fn config_until(
        &self,
        name: &str,
        until: i32,
        versions: &[&'static SupportedProtocolVersion],
        asks: Option<bool>,
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match asks {
            None => builder.with_no_client_auth(),
            Some(insist) => {
                let mut roots = RootCertStore::empty();
                roots.add(self.der.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = if insist { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (certificate, key) = self.certify(name, until);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}
