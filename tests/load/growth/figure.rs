//! One figure with its gate and its goal.

use serde_json::json;

/// A figure; smaller is better.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    id: &'static str,
    value: f64,
    unit: &'static str,
    gate: Option<f64>,
    goal: Option<f64>,
    note: String,
}

impl Figure {
    /// A figure that nothing is asked of yet.
    pub(crate) const fn new(id: &'static str, value: f64, unit: &'static str) -> Self {
        Self { id, value, unit, gate: None, goal: None, note: String::new() }
    }

    /// The median of several, with the others in the note.
    pub(crate) fn of(id: &'static str, mut values: Vec<f64>, unit: &'static str) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: usize| values.get((values.len() * share / 100).min(values.len() - 1));
        let [median, late, last] = [at(50), at(99), values.last()].map(|it| *it.unwrap_or(&0.0));
        let note = format!("median of {}, p99 {late:.3}, longest {last:.3}", values.len());
        Self { note, ..Self::new(id, median, unit) }
    }

    /// What must hold, and what is aimed at.
    pub(crate) const fn asked(mut self, gate: f64, goal: f64) -> Self {
        (self.gate, self.goal) = (Some(gate), Some(goal));
        self
    }

    /// What is aimed at, where there is no gate.
    pub(crate) const fn aimed(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    /// What else there is to say.
    pub(crate) fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Whether the gate holds.
    pub(crate) fn holds(&self) -> Option<bool> {
        self.gate.map(|gate| self.value <= gate)
    }

    fn goal_holds(&self) -> Option<bool> {
        self.goal.map(|goal| self.value <= goal)
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let asked = |what: &str, limit: Option<f64>, holds: Option<bool>| {
            let (Some(limit), Some(holds)) = (limit, holds) else { return String::new() };
            format!(", {what} {limit}: {}", if holds { "holds" } else { "FAILS" })
        };
        let note = if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) };
        format!(
            "{:24} {:>10.3} {}{}{}{note}",
            self.id,
            self.value,
            self.unit,
            asked("gate", self.gate, self.holds()),
            asked("goal", self.goal, self.goal_holds()),
        )
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        json!({
            "id": self.id, "peer": null, "ratio": self.value, "unit": self.unit,
            "gate": self.gate, "goal": self.goal, "holds": self.holds(),
            "goal_holds": self.goal_holds(), "note": self.note,
        })
        .to_string()
    }
}
