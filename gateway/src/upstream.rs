//! Towards the endpoints: which one, and a connection to it.
//!
//! ```text
//! backends ─► split by weight ─► endpoints of the target ─► P2C over EWMA ─► pool or connect
//! ```

pub mod balance;
pub mod connect;
pub mod pool;
pub mod sessions;
pub mod split;
pub mod state;
pub mod tcp;

pub use self::balance::{Chosen, choose};
pub use self::connect::{ConnectFailed, Connection, connect};
