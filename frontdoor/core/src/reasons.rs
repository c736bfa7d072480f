//! The fixed words of every refusal (contract 3), and the one table from reason to status.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $message:literal;)*) => {
        /// Why a request passed or did not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is spelled in HTTP, gRPC, logs and metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// One constant sentence for people.
            #[must_use]
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

reasons! {
    /// It passed.
    Ok = "ok", 200, "The request was allowed.";

    /// Structure, version or framing.
    MalformedRequest = "malformed_request", 403, "The request is malformed or uses a feature this endpoint does not offer.";
    /// Neither GET nor POST.
    MethodNotAllowed = "method_not_allowed", 403, "Only GET and POST are allowed here.";
    /// `Host` is not the bound address.
    HostNotAllowed = "host_not_allowed", 403, "The Host header is not an address of this endpoint.";
    /// A page of another origin asks.
    CrossSiteForbidden = "cross_site_forbidden", 403, "Requests from other sites are not allowed.";
    /// The rate window is missing or makes no sense.
    RateStateUnavailable = "rate_state_unavailable", 429, "The rate limit cannot be judged, so nothing passes.";
    /// The rate window is full.
    RateLimited = "rate_limited", 429, "Too many requests. Try again after the time in Retry-After.";
    /// No token.
    MissingToken = "missing_token", 401, "No token was sent. `companionctl env` prints the one to use.";
    /// A wrong token, or none is configured.
    InvalidToken = "invalid_token", 401, "The token is not valid. It changes at every start: `companionctl env` prints the current one.";
    /// Not on the allowlist.
    RouteNotFound = "route_not_found", 404, "There is no such route here.";

    /// The runtime is not ready, or the front door is leaving.
    NotReady = "not_ready", 503, "No model is ready. `companionctl status` says what is missing.";
    /// The runtime did not answer its health question.
    HealthFailed = "health_failed", 503, "The runtime did not answer as a healthy one does.";

    /// Connections or memory for bodies are used up.
    AtCapacity = "at_capacity", 503, "The front door is at its capacity. Try again shortly.";
    /// All slots and all places in the queue are taken.
    QueueFull = "queue_full", 503, "All slots and the queue are full. Try again shortly.";
    /// The place in the queue ran out.
    QueueTimeout = "queue_timeout", 503, "The request waited too long for a free slot.";
    /// A slot was given back that is not out.
    NoInFlightToComplete = "no_in_flight_to_complete", 503, "The admission state made no sense, so nothing passes.";
    /// Bounds or counts of the admission make no sense.
    MalformedAdmissionState = "malformed_admission_state", 503, "The admission state made no sense, so nothing passes.";

    /// The resource limits make no sense.
    MalformedLimits = "malformed_limits", 503, "The resource limits make no sense, so nothing passes.";
    /// The runtime's figures are missing or make no sense.
    MalformedObservation = "malformed_observation", 503, "The runtime's resources could not be measured, so nothing passes.";
    /// Memory.
    RamOverLimit = "ram_over_limit", 503, "The runtime uses more memory than allowed.";
    /// GPU memory.
    VramOverLimit = "vram_over_limit", 503, "The GPU memory in use is over the limit.";
    /// Processor.
    CpuOverLimit = "cpu_over_limit", 503, "The runtime uses more processor time than allowed.";

    /// A body that is not one strict JSON object.
    MalformedBody = "malformed_body", 400, "The body is not one strict JSON object in UTF-8.";
    /// A field that speaks to the server instead of the model.
    FieldNotAllowed = "field_not_allowed", 400, "The body has a field that reaches into the server; it is not offered here.";
    /// A body over the limit.
    BodyTooLarge = "body_too_large", 413, "The body is larger than allowed.";
    /// The body stopped coming.
    BodyTimeout = "body_timeout", 408, "The body did not arrive in time.";
    /// A header block over the limit.
    HeadersTooLarge = "headers_too_large", 431, "The header block is larger than allowed.";
    /// The runtime's socket could not be reached.
    RuntimeUnreachable = "runtime_unreachable", 502, "The runtime could not be reached.";
    /// The runtime broke off or answered with something that is no answer.
    RuntimeFailed = "runtime_failed", 502, "The runtime did not give a usable answer.";
    /// The connections that lead to the runtime could not be had.
    PathFailed = "path_failed", 502, "The way to the runtime is broken.";
    /// Nobody hears it: for the figures alone.
    ClientLeft = "client_left", 499, "The client left before its answer began.";
    /// Nobody hears it: for the figures alone.
    Panicked = "panicked", 500, "The front door failed at this request.";
    /// A gRPC message with a field outside its bounds.
    MalformedInput = "malformed_input", 400, "The message is outside its bounds.";
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn contract_3_spellings_of_the_front_door_are_all_there() {
        let wanted = "ok malformed_request method_not_allowed host_not_allowed \
            cross_site_forbidden rate_state_unavailable rate_limited missing_token invalid_token \
            route_not_found not_ready health_failed at_capacity queue_full queue_timeout \
            no_in_flight_to_complete malformed_admission_state malformed_limits \
            malformed_observation ram_over_limit vram_over_limit cpu_over_limit malformed_input";
        for code in wanted.split_whitespace() {
            assert!(Reason::ALL.iter().any(|reason| reason.as_str() == code), "{code}");
        }
    }

    #[test]
    fn codes_are_distinct_lowercase_words() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(codes.iter().all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }

    #[test]
    fn statuses_are_those_of_contract_4() {
        let table = [
            (Reason::MalformedRequest, 403),
            (Reason::MethodNotAllowed, 403),
            (Reason::HostNotAllowed, 403),
            (Reason::CrossSiteForbidden, 403),
            (Reason::RateStateUnavailable, 429),
            (Reason::RateLimited, 429),
            (Reason::MissingToken, 401),
            (Reason::InvalidToken, 401),
            (Reason::RouteNotFound, 404),
            (Reason::NotReady, 503),
            (Reason::QueueFull, 503),
            (Reason::QueueTimeout, 503),
            (Reason::RamOverLimit, 503),
            (Reason::VramOverLimit, 503),
            (Reason::CpuOverLimit, 503),
            (Reason::MalformedObservation, 503),
            (Reason::MalformedLimits, 503),
            (Reason::MalformedBody, 400),
        ];
        for (reason, status) in table {
            assert_eq!(reason.status(), status, "{}", reason.as_str());
        }
    }

    #[test]
    fn every_reason_has_a_sentence() {
        assert!(Reason::ALL.iter().all(|reason| reason.message().ends_with('.')));
    }
}
