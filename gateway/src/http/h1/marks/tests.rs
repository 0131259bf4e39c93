//! Many bytes at once say the same as one after the other.
use proptest::prelude::*;

use super::*;

/// Bytes of which many are at the edge of a class.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let edges = prop::sample::select(b"\0\t\n\r\x1f !-/09:@AZ[`az{~\x7f\x80\xff".to_vec());
    prop::collection::vec(prop_oneof![edges, any::<u8>(), Just(b'a')], 0..150)
}

fn places(bytes: &[u8], is: impl Fn(u8) -> bool) -> u64 {
    let found = bytes.iter().take(BLOCK).enumerate().filter(|(_, byte)| is(**byte));
    found.fold(0, |sum, (at, _)| sum | 1 << at)
}

fn count(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is(**byte)).count()
}

const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

proptest! {
    #[test]
    fn every_byte_of_a_block_has_its_mark(bytes in bytes()) {
        prop_assert_eq!(controls(&bytes), places(&bytes, is_control));
    }

    #[test]
    fn every_byte_of_a_host_has_its_mark(bytes in bytes()) {
        let bytes = &bytes[..bytes.len().min(HOST_BLOCK)];
        let marks = HostMarks::of(bytes);
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        prop_assert_eq!(marks.fit & places(bytes, |_| true), places(bytes, is_fit));
        prop_assert_eq!(marks.dots, places(bytes, |byte| byte == b'.'));
        prop_assert_eq!(marks.capitals, places(bytes, |byte| byte.is_ascii_uppercase()));
    }

    #[test]
    fn a_run_ends_at_the_first_byte_of_another_class(bytes in bytes()) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        prop_assert_eq!(words(&bytes), count(&bytes, is_word));
        prop_assert_eq!(target(&bytes), count(&bytes, |byte| byte.is_ascii_graphic() && byte != b'#'));
        prop_assert_eq!(text(&bytes), count(&bytes, |byte| !is_control(byte)));
    }
}
