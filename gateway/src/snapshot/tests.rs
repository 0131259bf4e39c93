//! Who sees which snapshot, and where one is dropped.

use super::*;

#[test]
fn a_worker_sees_the_snapshot_of_now() {
    let published = Published::default();
    assert!(Arc::ptr_eq(&*published.seen(), &published.load()));
    let before = published.seen();
    drop(published.swap(Arc::default()));
    let after = published.seen();
    assert!(Arc::ptr_eq(&*after, &published.load()));
    assert!(!Arc::ptr_eq(&before, &after), "who holds the last one keeps it");
    assert!(Arc::ptr_eq(&after, &published.seen()), "the same while nothing changes");
}

#[test]
fn a_snapshot_from_before_is_dropped_where_it_was_published() {
    let published = Published::default();
    let last = Arc::downgrade(&published.load_full());
    let seen = published.seen();
    drop(published.swap(Arc::default()));
    published.let_go();
    assert!(last.upgrade().is_some(), "a request reads it");
    drop((seen, published.seen()));
    assert!(last.upgrade().is_some(), "its worker has let go of it, and not dropped it");
    published.let_go();
    assert!(last.upgrade().is_none());
}
