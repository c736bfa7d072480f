//! The route allowlist. A path is one of these, byte for byte, or it is not there: nothing is
//! decoded, folded or stripped, and what goes to the runtime is the constant of this table, never
//! the client's bytes.

use crate::Reason;

/// What the front door does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Relayed to the runtime at this path.
    Relay(&'static str),
    /// Asks the runtime for its health.
    Health,
    /// The front door's own status, JSON.
    Status,
    /// The front door's own figures, Prometheus text.
    Metrics,
}

/// The health route, which the health credential is good for.
pub const HEALTH_PATH: &str = "/health";

/// Method, path, route. `llama-server` also has routes that read files, save slots, run tools and
/// proxy; they are not here.
const ALLOWED: &[(&str, &str, Route)] = &[
    ("GET", "/v1/models", Route::Relay("/v1/models")),
    ("POST", "/v1/chat/completions", Route::Relay("/v1/chat/completions")),
    ("POST", "/v1/completions", Route::Relay("/v1/completions")),
    ("POST", "/v1/embeddings", Route::Relay("/v1/embeddings")),
    ("POST", "/v1/responses", Route::Relay("/v1/responses")),
    ("POST", "/v1/messages", Route::Relay("/v1/messages")),
    ("POST", "/v1/rerank", Route::Relay("/v1/rerank")),
    ("POST", "/tokenize", Route::Relay("/tokenize")),
    ("POST", "/detokenize", Route::Relay("/detokenize")),
    ("POST", "/apply-template", Route::Relay("/apply-template")),
    ("GET", HEALTH_PATH, Route::Health),
    ("GET", "/companion/v1/status", Route::Status),
    ("GET", "/metrics", Route::Metrics),
];

/// Paths of the list, and one word for everything else: for figures and logs, which must never
/// hold a client's own words.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALLOWED.iter().map(|(_, path, _)| *path).chain(["other"])
}

/// The place of a request's path in [`names`]; the last one when it is not on the list.
#[must_use]
pub fn name_index(path: &str) -> usize {
    ALLOWED.iter().position(|(_, known, _)| *known == path).unwrap_or(ALLOWED.len())
}

/// Queries that a client library sends by itself and that change nothing: Anthropic's SDK adds
/// one. They are not relayed. Every other query is refused.
const HARMLESS_QUERIES: &[(&str, &str)] = &[("/v1/messages", "beta=true")];

/// Finds the route of a request.
///
/// # Errors
/// `route_not_found` when method, path and query are not exactly on the list.
pub fn find(method: &str, path: &str, query: Option<&str>) -> Result<Route, Reason> {
    if query.is_some_and(|query| !HARMLESS_QUERIES.contains(&(path, query))) {
        return Err(Reason::RouteNotFound);
    }
    ALLOWED
        .iter()
        .find(|(allowed, known, _)| *allowed == method && *known == path)
        .map(|(_, _, route)| *route)
        .ok_or(Reason::RouteNotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exactly_the_routes_of_contract_4() {
        let listed: Vec<_> = ALLOWED.iter().map(|(m, p, _)| format!("{m} {p}")).collect();
        let wanted = [
            "GET /v1/models",
            "POST /v1/chat/completions",
            "POST /v1/completions",
            "POST /v1/embeddings",
            "POST /v1/responses",
            "POST /v1/messages",
            "POST /v1/rerank",
            "POST /tokenize",
            "POST /detokenize",
            "POST /apply-template",
            "GET /health",
            "GET /companion/v1/status",
            "GET /metrics",
        ];
        assert_eq!(listed, wanted);
        for (method, path, route) in ALLOWED {
            assert_eq!(find(method, path, None), Ok(*route));
            if let Route::Relay(upstream) = route {
                assert_eq!(upstream, path);
            }
        }
    }

    #[test]
    fn a_path_is_named_by_the_list_or_not_at_all() {
        let names: Vec<_> = names().collect();
        assert_eq!(names[name_index("/v1/models")], "/v1/models");
        assert_eq!(names[name_index("/metrics")], "/metrics");
        for path in ["", "/", "/v1/models/", "/V1/models", "other", "/x\"} 1"] {
            assert_eq!(names[name_index(path)], "other", "{path}");
        }
    }

    #[test]
    fn near_misses_are_not_found() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1/models/",
            "//v1/models",
            "/v1//models",
            "/V1/models",
            "/v1/models%20",
            "/v1%2fmodels",
            "/%761/models",
            "/v1/./models",
            "/v1/x/../models",
            "/v1/models/..",
            "/v1/models;a",
            "/v1/models\0",
            "v1/models",
            "/props",
            "/slots",
            "/slots/0",
            "/lora-adapters",
            "/models",
            "/v1/stream",
            "/v1/streams/lookup",
            "/v1/chat/completions/control",
            "/models/load",
            "/tools",
            "/cors-proxy",
            "/infill",
            "/completion",
            "/embedding",
            "/v1/health",
            "/metrics/",
            "/health/",
        ] {
            for method in ["GET", "POST"] {
                assert_eq!(find(method, path, None), Err(Reason::RouteNotFound), "{method} {path}");
            }
        }
    }

    #[test]
    fn the_wrong_method_is_not_found() {
        for (method, path, _) in ALLOWED {
            let other = if *method == "GET" { "POST" } else { "GET" };
            assert_eq!(find(other, path, None), Err(Reason::RouteNotFound));
        }
    }

    #[test]
    fn only_the_one_harmless_query_passes() {
        assert!(find("POST", "/v1/messages", Some("beta=true")).is_ok());
        for query in ["", "beta=false", "beta=true&x=1", "BETA=true", "autoload=1"] {
            assert!(find("POST", "/v1/messages", Some(query)).is_err(), "{query}");
        }
        for (method, path, _) in ALLOWED.iter().filter(|(_, path, _)| *path != "/v1/messages") {
            assert!(find(method, path, Some("beta=true")).is_err(), "{path}");
            assert!(find(method, path, Some("")).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_found_is_on_the_list(
            method in "(GET|POST|get|[A-Z]{1,7})", path in "/(v1/)?[a-z/%.]{0,20}",
            query in prop::option::of("[a-z=&]{0,8}"),
        ) {
            if find(&method, &path, query.as_deref()).is_ok() {
                prop_assert!(ALLOWED.iter().any(|(m, p, _)| *m == method && *p == path));
            }
        }
    }
}
