//! The hash map of the tables.

/// A persistent map: a copy shares with its source all that does not change.
///
/// Its hash is quick and keyed anew in each process. Clients choose what is looked up and never
/// what is put in, so that nothing stronger is needed.
pub type HashMap<K, V> =
    imbl::GenericHashMap<K, V, ahash::RandomState, imbl::shared_ptr::DefaultSharedPtr>;
