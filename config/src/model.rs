//! The vocabulary: what the rooms say to each other.

pub mod identity;

mod backend;
mod map;
mod name;
mod protocol;

pub use self::backend::{BackendKey, ServicePort};
pub use self::map::HashMap;
pub use self::name::{Kind, LinkName, Name, ObjectRef};
pub use self::protocol::AppProtocol;
