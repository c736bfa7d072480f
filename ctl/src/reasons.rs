//! Reason codes in a person's words: what happened, and what to do next.
//!
//! One table. The codes are those of the contract and of the processes; the sentences are
//! fixed, so that nothing which came over a socket is ever shown as prose.

/// What a reason means to the person who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words {
    /// One sentence: what happened.
    pub(crate) what: &'static str,
    /// One sentence: what to do next. Empty when there is nothing to do.
    pub(crate) next: &'static str,
}

const UNKNOWN: Words = Words {
    what: "The companion refused.",
    next: "See `companionctl status`, and what `companion up` shows.",
};

/// The words for a reason code; general ones for a code this version does not know.
pub(crate) fn words(reason: &str) -> Words {
    TABLE
        .iter()
        .find(|(code, ..)| *code == reason)
        .map_or(UNKNOWN, |&(_, what, next)| Words { what, next })
}

/// Whether the table has words for this code.
pub(crate) fn is_known(reason: &str) -> bool {
    TABLE.iter().any(|(code, ..)| *code == reason)
}

/// Of what is missing for the endpoint to be available, what a person can mend: without a
/// running model the rest follows, and without the supervisor nothing is known of a model.
pub(crate) fn causes(missing: &[String]) -> Vec<&String> {
    let names = |word: &str| missing.iter().any(|there| there == word);
    let (silent, asleep) = (names("supervisor_unreachable"), names("asleep"));
    let follows = |word: &str| match word {
        "model_unverified" | "runtime_unverified" | "health_stale" => {
            silent || asleep || names("not_ready")
        }
        "not_ready" => silent || asleep,
        _ => false,
    };
    missing.iter().filter(|word| !follows(word)).collect()
}

/// Whether the endpoint misses nothing but the model, which the next request loads again.
pub(crate) fn is_only_asleep(missing: &[String]) -> bool {
    causes(missing) == ["asleep"]
}

const AGAIN: &str = "Try again.";
const REPORT: &str = "This is a fault of the program: please report it with the reason code.";
const STATUS: &str = "See `companionctl status`.";
const LOGS: &str = "See `companionctl logs` for what the runtime said.";
const PULL: &str = "Run `companionctl pull ID` again.";
const SIGN_IN: &str = "Run `companionctl sign-in` again.";
const SIGN_IN_OPERATOR: &str =
    "Run `companionctl sign-in` again; if it stays, tell whoever runs the service.";
const FRESH_KEY: &str = "Run `eval \"$(companionctl env)\"`, or `companionctl exec -- PROGRAM`.";
const NEW_ADDRESS: &str =
    "Press Enter in the terminal that runs `companionctl ui`, or start it again.";
const LIMITS: &str = "Raise the limit in [runtime] of the configuration, or use a smaller model.";

#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    ("not_a_terminal", "This draws on a terminal, and there is none here.", "For programs there is `companionctl status --json`."),
    // The guard of the endpoint.
    ("ok", "The request was allowed.", ""),
    ("malformed_request", "The request could not be read.", "Check the client that sent it."),
    ("malformed_body", "The request's body is not strict JSON.", "Check the client that sent it."),
    ("field_not_allowed", "The request has a field that reaches into the server.", "Leave the field out."),
    ("body_too_large", "The request is larger than allowed.", "Shorten it, or raise [frontdoor] max_body_bytes."),
    ("body_timeout", "The request's body did not arrive in time.", AGAIN),
    ("headers_too_large", "The request's headers are larger than allowed.", "Check the client that sent it."),
    ("method_not_allowed", "The endpoint takes GET and POST only.", "Check the client that sent it."),
    ("host_not_allowed", "The request named another host than the endpoint's own.", "Use the address that `companionctl env` prints, as it is."),
    ("cross_site_forbidden", "The request came from a web page of another site.", "Web pages may not use this endpoint."),
    ("rate_state_unavailable", "The endpoint could not count its requests, so it let none through.", AGAIN),
    ("rate_limited", "Too many requests in a short time.", "Wait a minute and try again."),
    ("missing_token", "The request carried no key.", FRESH_KEY),
    ("invalid_token", "The key is not the one of this start of the companion.", FRESH_KEY),
    ("route_not_found", "The endpoint does not offer this route.", "It has inference and health routes only: docs/endpoint.md lists them."),

    // Integrity.
    ("malformed_spec", "The catalog's entry for this file is malformed.", "Tell whoever signs the catalog."),
    ("source_not_allowed", "The file lies, or was redirected, outside the allowed sources.", "Check [models] hosts in the configuration, or tell whoever signs the catalog."),
    ("scheme_not_allowed", "The file's address is not https.", "Tell whoever signs the catalog."),
    ("size_mismatch", "The file does not have the size that the signed catalog states, and was deleted.", PULL),
    ("digest_mismatch", "The file is not the one that the signed catalog names.", "Run `companionctl rm ID`, then `companionctl pull ID`."),
    ("accumulator_finalized", "The download was already complete.", REPORT),
    ("accumulator_aborted", "The download was cancelled.", PULL),
    ("manifest_untrusted", "The catalog is not signed by whom this installation trusts, has expired, or lies on the host of the files.", "Check [gateway] catalog_url and trust_root; do not use this catalog until its signer explains."),

    // Lifecycle.
    ("invalid_transition", "That cannot be done in the present state of the runtime.", STATUS),
    ("not_ready", "No model is running.", "Start one: `companionctl start ID`; `companionctl models` lists them."),
    ("unknown_event", "The runtime's state machine met something it does not know.", REPORT),
    ("unknown_state", "The runtime's state machine met something it does not know.", REPORT),
    ("spawn_failed", "The runtime could not be started.", LOGS),
    ("health_failed", "The runtime started but did not become healthy.", LOGS),
    ("runtime_crashed", "The runtime crashed.", "It starts again by itself. See `companionctl logs` for what it said."),
    ("runtime_unreachable", "The runtime could not be reached.", STATUS),
    ("runtime_failed", "The runtime gave no usable answer.", "Try again; else see `companionctl logs`."),
    ("client_left", "The program that asked did not wait for the answer.", "Nothing is wrong here."),
    ("panicked", "The endpoint failed at this request.", REPORT),
    ("path_failed", "The way from the endpoint to the runtime is broken.", STATUS),
    ("already_running", "A model is running already.", "Run `companionctl stop` first."),
    ("stopped", "The start was given up: a stop came meanwhile.", "Start it again: `companionctl start ID`."),
    ("crash_loop", "The runtime crashed five times within five minutes and stays stopped.", "See `companionctl logs`, then `companionctl start ID`."),

    // Admission.
    ("at_capacity", "All slots are taken.", "Wait for a running request, or raise [frontdoor] max_in_flight."),
    ("queue_full", "All slots are taken and the queue is full.", "Wait a little, or raise [frontdoor] queue_bound."),
    ("queue_timeout", "The request waited too long for a slot.", "Try again when fewer requests run."),
    ("no_in_flight_to_complete", "The endpoint lost count of its requests.", REPORT),
    ("malformed_admission_state", "The endpoint lost count of its requests, so it let none through.", REPORT),

    // Resources.
    ("malformed_limits", "The configured resource limits make no sense.", "Check [runtime] in the configuration."),
    ("malformed_observation", "The runtime's use of memory and CPU could not be read, so requests are denied.", STATUS),
    ("ram_over_limit", "The runtime uses more memory than it may.", LIMITS),
    ("vram_over_limit", "The graphics card's memory is over its limit.", LIMITS),
    ("cpu_over_limit", "The runtime uses more CPU than it may.", LIMITS),

    // Sign-in.
    ("malformed_input", "The answer of the sign-in page was malformed.", SIGN_IN),
    ("authorization_server_error", "The sign-in service refused or failed.", SIGN_IN_OPERATOR),
    ("state_missing", "The sign-in answer did not belong to this attempt.", SIGN_IN),
    ("state_mismatch", "The sign-in answer did not belong to this attempt.", SIGN_IN),
    ("issuer_mismatch", "The sign-in answer came from another service than the configured one.", "Check [gateway] issuer in the configuration."),
    ("missing_code", "The sign-in answer carried no code.", SIGN_IN_OPERATOR),
    ("invalid_redirect_uri", "The address for the sign-in answer was not a loopback address.", REPORT),
    ("unsupported_pkce_method", "The sign-in service does not offer PKCE with S256.", "Tell whoever runs the service."),
    ("invalid_token_response", "The sign-in service answered with something that is not a session.", SIGN_IN_OPERATOR),
    ("registration_failed", "The sign-in service did not register this program.", "Configure [gateway] client_id, or tell whoever runs the service."),
    ("callback_timeout", "Nobody finished the sign-in in time.", SIGN_IN),
    ("token_exchange_failed", "The sign-in could not be completed at the service.", SIGN_IN_OPERATOR),
    ("discovery_failed", "The sign-in service's description could not be fetched or trusted.", "See why: `companionctl doctor`; else check [gateway] issuer."),
    ("sign_in_cancelled", "The sign-in attempt was cancelled.", SIGN_IN),
    ("account_not_configured", "This installation has no account, and models of your own need none.", "To sign in at a gateway, set it up: `companion init`."),
    ("not_signed_in", "Nobody is signed in.", "Run `companionctl sign-in`."),

    // Keychain.
    ("unknown_account", "The keychain was asked for an account that is not the companion's.", REPORT),
    ("invalid_secret", "A value in the keychain is not one the companion wrote.", "Run `companionctl sign-out`, then `companionctl sign-in`."),
    ("keychain_unavailable", "There is no keychain service here.", "Start GNOME Keyring, KWallet or KeePassXC; on a server set [keychain] backend = \"kernel\"."),
    ("keychain_locked", "The keychain is locked.", "Unlock it in your desktop's password program; if KeePassXC is unlocked, turn off `Confirm when passwords are retrieved by clients` in its Secret Service settings."),

    // Catalog and store.
    ("catalog_unreachable", "The catalog could not be fetched.", "See why: `companionctl doctor`."),
    ("catalog_not_configured", "No catalog is configured, so there is nothing to download.", "Set one up: `companion init`; or set [gateway] catalog_url and trust_root."),
    ("unknown_artifact", "The catalog has nothing of that name.", "See what it has: `companionctl models`."),
    ("not_provisioned", "The model, or a runtime for this machine, was not downloaded yet.", "Download what is missing and start it: `companionctl start ID --pull`."),
    ("in_use", "It is in use by the running model.", "Run `companionctl stop` first."),
    ("disk_full", "There is not enough free space for it.", "Free some, or remove a model: `companionctl rm ID`."),
    ("store_unavailable", "The store could not be read or written.", "Check the data directory's owner, mode and disk."),
    ("connection_failed", "No secure connection to the model host came about.", "See why: `companionctl doctor`."),
    ("set_up_given_up", "The set-up was given up; nothing was changed.", "Run `companion init` again."),
    ("configuration_exists", "A configuration is there already.", "Replace it by --replace: the old one is kept beside it."),
    ("configuration_not_written", "The configuration could not be written.", "Check the directory's owner, mode and disk."),
    ("catalog_exists", "A catalog of yours is there already.", "Add to it: `companionctl catalog add FILE`; or name another place by --catalog-dir."),
    ("no_home", "There is no home directory to set anything up in.", "Set HOME, or name the places by --config and --catalog-dir."),
    ("runtime_not_found", "No llama-server is on the search path.", "Name one: --runtime FILE."),
    ("malformed_archive", "The runtime's archive holds what may not be unpacked, or no program; it was deleted.", "Tell whoever signs the catalog."),
    ("source_unavailable", "The catalog on this disk lacks the file, or it cannot be read.", "See what is wrong: `companionctl catalog verify`."),
    ("server_refused", "The model host did not give out the file.", "Try again later, or tell whoever signs the catalog."),
    ("download_stalled", "The model host stopped sending.", "Run `companionctl pull ID` again: it continues where it stopped."),
    ("download_truncated", "The download ended too early.", "Run `companionctl pull ID` again: it continues where it stopped."),
    ("too_many_redirects", "The model host redirected too often.", "Tell whoever signs the catalog."),

    // What `available` misses.
    ("model_unverified", "The running model is not verified.", "Pull it again: `companionctl pull ID`."),
    ("runtime_unverified", "The running runtime is not verified.", "Pull it again: `companionctl pull ID`."),
    ("listener_unbound", "The endpoint is not bound.", "Start the companion again: `companion up`."),
    ("token_digest_unset", "The endpoint has no key to accept, because the keychain does not answer.", "See `companionctl session`."),
    ("health_stale", "The last answer of the runtime is too old.", "Wait a few seconds; else see `companionctl logs`."),
    ("supervisor_unreachable", "The runtime supervisor does not answer.", "Wait a moment: the launcher restarts it. Else look where `companion up` runs."),
    ("broker_unreachable", "The authority broker does not answer.", "Wait a moment: the launcher restarts it. Else look where `companion up` runs."),
    ("frontdoor_unreachable", "The front door does not answer.", "Wait a moment: the launcher restarts it. Else look where `companion up` runs."),
    ("shutting_down", "The companion is stopping.", "Start it again: `companion up`."),
    ("asleep", "The model rests: it was unloaded to free its memory.", "The next request loads it again."),

    // Lanes.
    ("lane_policy_denied", "The policy does not let this work take that lane.", "Ask the owner for the permission or the opt-in."),
    ("cloud_consent_required", "Private data may not go to a cloud lane without a consent.", "Name the consent record: `--consent-id ID`."),

    // This program's own.
    ("companion_not_running", "The companion is not running.", "Start it: `companion up`."),
    ("no_answer", "The companion did not answer in time.", "Try again; else look where `companion up` runs."),
    ("unexpected_answer", "The companion answered with something this version does not understand.", "Check that companion and companionctl are of one version."),
    ("not_supported", "The running companion is older than this companionctl.", "Stop it and start the present one: `companion up`."),
    ("configuration_refused", "The configuration is not usable.", "Mend the key that is named."),
    ("not_available", "The model started, but the endpoint did not become available.", STATUS),
    ("endpoint_not_loopback", "The endpoint's address is not on this computer, so nothing was sent to it.", REPORT),
    ("endpoint_unreachable", "The endpoint does not answer.", STATUS),
    ("stream_interrupted", "The answer ended in the middle.", "Try again; else see `companionctl logs`."),
    ("runtime_refused", "The runtime did not take the request.", LOGS),
    ("context_exceeded", "The text is longer than the model's context.", "Shorten it, or raise [runtime] context_length."),
    ("model_changed", "Another model was started in the meantime.", "Run it again."),
    ("authorization_url_refused", "The sign-in address is not an https address, so it was not opened.", "Check [gateway] issuer in the configuration."),
    ("program_not_started", "The program could not be started.", "Check its name and your PATH."),
    ("page_not_served", "No port on 127.0.0.1 could be bound for the page.", AGAIN),
    ("page_code_refused", "The page's address was used already, or is older than a minute.", NEW_ADDRESS),
    ("page_key_refused", "This page is not the one that is open now.", NEW_ADDRESS),
    ("content_not_json", "The request is not of the type that the page sends.", "Check the client that sent it."),
    ("input_unreadable", "Standard input could not be read.", AGAIN),
    ("input_not_text", "Standard input is not UTF-8 text.", "Convert it first: `iconv -t UTF-8`."),
    ("input_too_large", "Standard input is larger than a request may be.", "Shorten it."),
    ("no_notes_found", "There is no Markdown note there.", "Name a `.md` file, or a directory that holds some."),
    ("note_unreadable", "The note could not be read.", "Check its path, owner and mode."),
    ("note_not_text", "The note is not UTF-8 text.", "Convert it first: `iconv -t UTF-8`."),
    ("note_too_large", "The note is larger than 4 MiB.", "Split it."),
    ("note_empty", "There is no text in the note.", "Write something, or leave it out."),
    ("answer_unusable", "The model gave no usable summary, even when asked again.", "Try again, or use a larger model."),
    ("sidecar_not_written", "The result could not be written beside the note.", "Check the directory's owner, mode and disk."),
    ("some_notes_failed", "Not every note could be enriched.", "The reasons stand above."),
    ("internal", "The companion met a fault of its own.", REPORT),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract 3, copied.
    const CONTRACT: &str = "
        ok malformed_request method_not_allowed host_not_allowed cross_site_forbidden
        rate_state_unavailable rate_limited missing_token invalid_token route_not_found
        malformed_spec source_not_allowed scheme_not_allowed size_mismatch digest_mismatch
        accumulator_finalized accumulator_aborted manifest_untrusted
        invalid_transition not_ready unknown_event unknown_state spawn_failed health_failed
        at_capacity queue_full queue_timeout no_in_flight_to_complete malformed_admission_state
        malformed_limits malformed_observation ram_over_limit vram_over_limit cpu_over_limit
        malformed_input authorization_server_error state_missing state_mismatch issuer_mismatch
        missing_code invalid_redirect_uri unsupported_pkce_method invalid_token_response
        registration_failed callback_timeout token_exchange_failed
        unknown_account invalid_secret keychain_unavailable keychain_locked
        lane_policy_denied cloud_consent_required";

    /// What the front door's status lists as missing (frontdoor.proto).
    const MISSING: &str = "model_unverified runtime_unverified not_ready listener_unbound
        token_digest_unset health_stale supervisor_unreachable shutting_down asleep";

    #[test]
    fn every_reason_of_contract_3_and_every_missing_word_has_words() {
        for code in CONTRACT.split_whitespace().chain(MISSING.split_whitespace()) {
            assert!(is_known(code), "{code}");
            assert!(!words(code).what.is_empty(), "{code}");
        }
    }

    #[test]
    fn every_refusal_says_what_to_do_next() {
        for (code, _, next) in TABLE.iter().filter(|(code, ..)| *code != "ok") {
            assert!(!next.is_empty(), "{code}");
        }
    }

    #[test]
    fn the_table_has_each_code_once_and_whole_sentences() {
        let mut seen = std::collections::BTreeSet::new();
        for (code, what, next) in TABLE {
            assert!(seen.insert(code), "{code} twice");
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            for sentence in [what, next].into_iter().filter(|sentence| !sentence.is_empty()) {
                assert!(sentence.ends_with('.'), "{code}");
                assert!(sentence.starts_with(|c: char| c.is_uppercase()), "{code}");
            }
        }
    }

    #[test]
    fn every_reason_this_program_gives_itself_is_in_the_table() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut open, mut sources) = (vec![root], String::new());
        while let Some(dir) = open.pop() {
            for file in std::fs::read_dir(dir).expect("source directory") {
                let path = file.expect("entry").path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|ext| ext == "rs") {
                    sources.push_str(&std::fs::read_to_string(path).expect("source"));
                }
            }
        }
        for code in sources.split("Refusal::new(\"").skip(1).filter_map(|s| s.split('"').next()) {
            assert!(is_known(code) || code.starts_with("test_"), "{code}");
        }
    }

    #[test]
    fn people_are_told_causes_and_not_what_follows_from_them() {
        let told = |words: &[&str]| {
            let missing: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            causes(&missing).into_iter().cloned().collect::<Vec<_>>()
        };
        let stopped = ["model_unverified", "runtime_unverified", "not_ready", "health_stale"];
        assert_eq!(told(&stopped), ["not_ready"]);
        let locked = ["health_stale", "token_digest_unset"];
        assert_eq!(told(&locked), locked);
        assert_eq!(told(&["not_ready", "supervisor_unreachable"]), ["supervisor_unreachable"]);
        let asleep = [&stopped[..], &["asleep"]].concat();
        assert_eq!(told(&asleep), ["asleep"]);
        assert_eq!(told(&[&asleep[..], &["token_digest_unset"]].concat()).len(), 2);
    }

    #[test]
    fn an_unknown_reason_gets_general_words() {
        assert_eq!(words("from_a_later_version"), UNKNOWN);
        assert!(!is_known("from_a_later_version"));
    }
}
