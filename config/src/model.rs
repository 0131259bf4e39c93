//! The vocabulary: names, addresses and rules as the rest of Spanway speaks of them.

pub mod identity;
