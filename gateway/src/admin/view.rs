//! What the admin pages tell, as types of their own: domain types can change without breaking
//! those who read the JSON, and nothing secret has a place here.

mod endpoints;
mod explain;
mod status;
mod table;

pub use self::endpoints::{Endpoint, Endpoints, Gateways, Set};
pub use self::explain::{Answer, Choice, Explained, OnPort, Question, Rule as TriedRule};
pub use self::status::{Certificate, Export, Link, Moment, Part, Problem, Source, Status};
pub use self::table::{Backend, Port, Rule, Table};

use config::table::RuleId;

/// `HTTPRoute shop/cart rule 0`, with the rule's name where it has one.
fn rule_label(id: &RuleId) -> String {
    let RuleId { route, index, name } = id;
    name.as_ref().map_or_else(
        || format!("{route} rule {index}"),
        |name| format!("{route} rule {index} ({name})"),
    )
}
