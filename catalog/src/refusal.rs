//! Why a command did not do what was asked.

/// One way to fail: its code, what happened, and what to do next (empty: nothing).
///
/// It is given to an error as its context; what caused it stands between the two sentences.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Refusal {
    reason: &'static str,
    what: String,
    next: &'static str,
}

impl Refusal {
    pub(crate) fn new(reason: &'static str, what: impl Into<String>, next: &'static str) -> Self {
        Self { reason, what: what.into(), next }
    }
}

/// The reason code of an error.
pub(crate) fn reason(error: &anyhow::Error) -> &'static str {
    error.downcast_ref::<Refusal>().map_or("catalog_failed", |refusal| refusal.reason)
}

/// What happened and why, what to do next, and the reason code at the end.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}").trim_end_matches('.').to_owned();
    text.push('.');
    if let Some(refusal) = error.downcast_ref::<Refusal>().filter(|it| !it.next.is_empty()) {
        text.push(' ');
        text.push_str(refusal.next);
    }
    format!("{text} ({})", reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_happened_why_what_to_do_and_ends_with_its_code() {
        let cause = anyhow::anyhow!("No such file or directory (os error 2)");
        let refusal = Refusal::new("file_unreadable", "m.gguf cannot be read", "Check its name.");
        assert_eq!(
            message(&cause.context(refusal)),
            "m.gguf cannot be read: No such file or directory (os error 2). Check its name. \
             (file_unreadable)"
        );
        assert_eq!(message(&anyhow::anyhow!("odd")), "odd. (catalog_failed)");
    }
}
