//! Label selectors, with the meaning that Kubernetes gives them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What labels must say: all of it. An empty selector fits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Labels of which these expressions are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<Expression>,
}

/// What one label must say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// How it relates to the values.
    pub operator: Operator,
    /// The values, none for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label relates to values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "each means what Kubernetes means by it")]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Whether the labels fit; `label` gives the value of one.
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str> + Copy) -> bool {
        self.match_labels.iter().all(|(key, value)| label(key) == Some(value.as_str()))
            && self.match_expressions.iter().all(|expression| expression.matches(label))
    }
}

impl Expression {
    fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let value = label(&self.key);
        let named = value.is_some_and(|value| self.values.iter().any(|known| known == value));
        match self.operator {
            Operator::In => named,
            Operator::NotIn => !named,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}
