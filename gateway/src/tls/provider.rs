//! Which cryptography is used where.

use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

/// Cryptography of links and of the control port: the hybrid post-quantum exchange first.
pub fn link() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    })
}

/// Cryptography of HTTPS listeners: what rustls holds safe for the public.
pub fn public() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The signatures that certificates and handshakes may carry.
pub fn signatures() -> WebPkiSupportedAlgorithms {
    static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
        LazyLock::new(|| aws_lc_rs::default_provider().signature_verification_algorithms);
    *ALGORITHMS
}
