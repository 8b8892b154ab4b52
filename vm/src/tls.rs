//! Which cryptography HTTPS uses: `ring`, which builds in a fraction of the time
//! that the default takes.

/// Makes it the process's choice. To be called before a client is made; again does no harm.
pub fn use_ring() {
    // Refused where the choice was made already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
