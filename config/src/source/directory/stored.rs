//! The text of a part of a file, as it is kept.

use std::borrow::Cow;
use std::sync::Arc;

use super::files::Role;
use crate::packed::Packed;

/// What we write ourselves is long and says the same again and again: packed, it takes a fraction of the
/// memory, and hardly anybody reads it a second time.
#[derive(Clone, Debug, Eq)]
pub(super) enum Stored {
    Plain(Arc<str>),
    Packed(Packed),
}

impl Stored {
    /// Keeps a text of a file of this role.
    pub(super) fn new(text: &str, role: Role) -> Self {
        match role {
            Role::Written => Self::Plain(text.into()),
            Role::Made | Role::Status => Self::Packed(Packed::new(text)),
        }
    }

    /// As it was.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Packed(packed) => Cow::Owned(packed.text()),
        }
    }
}

impl Default for Stored {
    fn default() -> Self {
        Self::Plain(Arc::default())
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(other)) => Arc::ptr_eq(one, other) || one == other,
            (Self::Packed(one), Self::Packed(other)) => one == other,
            // One is the user's and one is ours: they may say the same all the same.
            _ => self.text() == other.text(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_smaller_and_comes_back_as_it_was() {
        let text = "{\"name\":\"p1\",\"port\":1,\"protocol\":\"TCP\"},".repeat(100);
        for role in [Role::Written, Role::Made, Role::Status] {
            let stored = Stored::new(&text, role);
            assert_eq!(stored.text(), text);
            assert_eq!(stored, Stored::new(&text, role));
            assert_eq!(stored, Stored::new(&text, Role::Written));
            assert_ne!(stored, Stored::new("another", role));
            if let Stored::Packed(bytes) = stored {
                assert!(bytes.len() * 10 < text.len(), "{} bytes", bytes.len());
            }
        }
    }
}
