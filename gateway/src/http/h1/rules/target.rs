//! Which forms a request target may have.
use super::super::grammar;
use super::super::limits;
use super::super::malformed::Malformed;
use super::super::marks;

/// The form of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// `/path?query`, sent on as it is.
    Origin,
    /// `*` of `OPTIONS`.
    Asterisk,
    /// `http://authority/path?query`: the authority must be the host; `rest` is what goes on, `""` or from `/` or `?`.
    Absolute {
        /// Host and port.
        authority: &'a [u8],
        /// What stands behind them.
        rest: &'a [u8],
    },
}

/// Tells the form of a target or why it has none.
pub(crate) fn form<'a>(method: &[u8], target: &'a [u8]) -> Result<Form<'a>, Malformed> {
    if target.len() > limits::TARGET_BYTES {
        return Err(Malformed::TargetTooLong);
    }
    if target.is_empty() || marks::target(target) != target.len() {
        return Err(Malformed::Target);
    }
    match target {
        [b'/', ..] => Ok(Form::Origin),
        b"*" if method == b"OPTIONS" => Ok(Form::Asterisk),
        _ => absolute(target),
    }
}

fn absolute(target: &[u8]) -> Result<Form<'_>, Malformed> {
    let scheme = [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|scheme| grammar::starts_with_ignore_case(target, scheme))
        .ok_or(Malformed::Target)?;
    let after = target.get(scheme.len()..).unwrap_or_default();
    let end = after.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(after.len());
    let (authority, rest) = after.split_at_checked(end).ok_or(Malformed::Target)?;
    if authority.is_empty() {
        Err(Malformed::Target)
    } else {
        Ok(Form::Absolute { authority, rest })
    }
}
