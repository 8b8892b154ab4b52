//! HTTPS for every name: an authority of this world's own, and a certificate for whatever
//! name a client asks for.
//!
//! The authority is made when the world starts and its key never leaves the world's memory, so no
//! two machines trust the same one. Who shall trust it gets [`Authority::certificate`]; see
//! [`crate::guest::trust`].

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::in_time;

/// The authority's name in certificates. [`crate::guest::trust`] knows its hash.
pub const NAME: &str = "World";
/// How many names' certificates are kept; more are made each time.
const NAMES: usize = 256;
/// How long a client may take to agree on a key.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who signs the certificates of one world.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// All servers' key: they are one process.
    key: KeyPair,
    made: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    /// Makes one, with keys of its own.
    pub fn new() -> io::Result<Self> {
        let mut params = dated(CertificateParams::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, NAME);
        let issuer = CertifiedIssuer::self_signed(params, new_key()?).map_err(io::Error::other)?;
        Ok(Self { issuer, key: new_key()?, made: Mutex::default() })
    }

    /// Its own certificate, in PEM: what clients have to trust.
    pub fn certificate(&self) -> String {
        self.issuer.pem().replace("\r\n", "\n")
    }

    /// Agrees on a key with a client, as the server it asked for, or as the one at the
    /// address it connected to.
    pub async fn accept(&self, stream: TcpStream, to: SocketAddrV4) -> io::Result<TlsStream<TcpStream>> {
        in_time(PATIENCE, async {
            let hello: StartHandshake<_> = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let name = hello.client_hello().server_name().map_or_else(|| to.ip().to_string(), str::to_owned);
            hello.into_stream(self.server(&name.to_ascii_lowercase())?).await
        })
        .await
    }

    fn server(&self, name: &str) -> io::Result<Arc<ServerConfig>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = made.get(name) {
            return Ok(Arc::clone(server));
        }
        let server = Arc::new(self.make_server(name)?);
        if made.len() < NAMES {
            made.insert(name.to_owned(), Arc::clone(&server));
        }
        Ok(server)
    }

    fn make_server(&self, name: &str) -> io::Result<ServerConfig> {
        let mut params = dated(CertificateParams::default());
        params.distinguished_name.push(DnType::CommonName, "A server of this world");
        params.subject_alt_names = vec![match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().map_err(io::Error::other)?),
        }];
        params.serial_number = Some(rand::random::<u64>().to_be_bytes().to_vec().into());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&self.key, &self.issuer).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
            })
            .map_err(io::Error::other)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(server)
    }
}

fn new_key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}

/// Valid whatever a machine takes for the time.
fn dated(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2099, 12, 31));
    params
}
