//! What the runtime is started with: an argument array made from confirmed files and checked
//! values, nothing else (contract 9).

use std::path::Path;

use crate::bounds::{MAX_ID_BYTES, MAX_PROMPT_CACHE_MIB, MAX_SOCKET_PATH_BYTES};
use crate::{ConfirmedFile, Event, Limits, Reason, Spec};

/// Descriptor on which the runtime finds its model.
const MODEL_DESCRIPTOR: i32 = 5;
/// More than any model has.
const ALL_LAYERS: &str = "999";

/// The values a launch is made of, beside the two files.
#[derive(Debug, Clone)]
pub struct LaunchSettings<'a> {
    /// Catalog id of the model, shown by `/v1/models`.
    pub model_id: &'a str,
    /// Absolute path at which the runtime makes its socket.
    pub socket: &'a Path,
    /// Tokens of context, over all parallel sequences.
    pub context_length: u32,
    /// Sequences decoded at one time.
    pub parallel: u32,
    /// Threads that compute.
    pub threads: u32,
    /// What the runtime may use.
    pub limits: Limits,
    /// Whether it computes on graphics cards, all layers of the model.
    pub gpu: bool,
}

/// A launch that may happen: both files confirmed, every value checked.
#[derive(Debug)]
pub struct LaunchPlan {
    arguments: Vec<String>,
    max_data_bytes: u64,
    gpu: bool,
    model: Spec,
    runtime: Spec,
}

impl LaunchPlan {
    /// Plans the launch of `llama-server` on a confirmed model with a confirmed binary.
    ///
    /// # Errors
    /// [`Reason::MalformedSpec`] for an id that is not [`is_artifact_id`]; [`Reason::SpawnFailed`]
    /// for a socket path that is relative, not UTF-8 or too long for a Unix socket, or for a
    /// zero among the numbers.
    pub fn new(
        model: ConfirmedFile,
        runtime: ConfirmedFile,
        settings: &LaunchSettings<'_>,
    ) -> Result<Self, Reason> {
        if !is_artifact_id(settings.model_id) {
            return Err(Reason::MalformedSpec);
        }
        let socket = socket_argument(settings.socket)?;
        let numbers = [settings.context_length, settings.parallel, settings.threads];
        if numbers.contains(&0) {
            return Err(Reason::SpawnFailed);
        }
        Ok(Self {
            arguments: arguments(settings, socket),
            max_data_bytes: settings.limits.max_ram_bytes(),
            gpu: settings.gpu,
            model: model.spec(),
            runtime: runtime.spec(),
        })
    }

    /// The arguments behind argv[0].
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// RLIMIT_DATA in bytes.
    #[must_use]
    pub fn max_data_bytes(&self) -> u64 {
        self.max_data_bytes
    }

    /// Whether the devices of graphics cards belong into its sandbox.
    #[must_use]
    pub fn gpu(&self) -> bool {
        self.gpu
    }

    /// What the model is.
    #[must_use]
    pub fn model(&self) -> Spec {
        self.model
    }

    /// What the binary is.
    #[must_use]
    pub fn runtime(&self) -> Spec {
        self.runtime
    }

    /// The lifecycle event that only a plan can make.
    #[must_use]
    pub fn start_event(&self) -> Event {
        Event::Start(StartPermit(()))
    }
}

/// Carried by [`Event::Start`]: both files of the launch were verified.
#[derive(Debug)]
pub struct StartPermit(());

/// Whether a catalog id is 1 to 128 characters of `[A-Za-z0-9._-]` and begins with a letter or
/// digit, so that it can be no option, path or separator anywhere it appears.
#[must_use]
pub fn is_artifact_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    id.len() <= MAX_ID_BYTES
        && id.bytes().all(plain)
        && id.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

fn socket_argument(path: &Path) -> Result<&str, Reason> {
    let text = path.to_str().ok_or(Reason::SpawnFailed)?;
    // llama-server takes a host that ends in `.sock` for a path, and a comma for a list of hosts.
    let is_path = path.is_absolute() && text.ends_with(".sock") && !text.contains(',');
    if is_path && text.len() <= MAX_SOCKET_PATH_BYTES { Ok(text) } else { Err(Reason::SpawnFailed) }
}

fn arguments(settings: &LaunchSettings<'_>, socket: &str) -> Vec<String> {
    let prompt_cache_mib =
        (settings.limits.max_ram_bytes() / 8 / (1024 * 1024)).min(MAX_PROMPT_CACHE_MIB);
    let valued = [
        ("--model", format!("/proc/self/fd/{MODEL_DESCRIPTOR}")),
        ("--host", socket.to_owned()),
        ("--alias", settings.model_id.to_owned()),
        ("--ctx-size", settings.context_length.to_string()),
        ("--parallel", settings.parallel.to_string()),
        ("--threads", settings.threads.to_string()),
        ("--threads-batch", settings.threads.to_string()),
        ("--cache-ram", prompt_cache_mib.to_string()),
        // So often, in seconds, a silent stream says that it lives.
        ("--sse-ping-interval", "1".to_owned()),
        // Pooled, so that one model answers chat and /v1/embeddings alike.
        ("--pooling", "mean".to_owned()),
        ("--fit", "off".to_owned()),
        ("--log-colors", "off".to_owned()),
    ];
    // One sequence may use the whole context while the others are idle; whatever reads files,
    // runs tools, proxies or serves pages stays off.
    let plain = [
        "--kv-unified",
        "--embeddings",
        "--offline",
        "--no-ui",
        "--no-ui-mcp-proxy",
        "--no-agent",
        "--no-slots",
        "--no-mmproj",
        "--no-cors-credentials",
    ];
    let layers = settings.gpu.then_some(("--n-gpu-layers", ALL_LAYERS.to_owned()));
    valued
        .into_iter()
        .chain(layers)
        .flat_map(|(name, value)| [name.to_owned(), value])
        .chain(plain.into_iter().map(str::to_owned))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::integrity::tests::confirmed;

    pub(crate) fn permit() -> StartPermit {
        StartPermit(())
    }

    fn settings() -> LaunchSettings<'static> {
        LaunchSettings {
            model_id: "smollm2-135m-instruct",
            socket: Path::new("/run/user/1000/companion/default/runtime/runtime.sock"),
            context_length: 4096,
            parallel: 2,
            threads: 3,
            limits: Limits::new(8 << 30, 0, 100.0).unwrap(),
            gpu: false,
        }
    }

    fn plan(settings: &LaunchSettings<'_>) -> Result<LaunchPlan, Reason> {
        LaunchPlan::new(confirmed(), confirmed(), settings)
    }

    fn value_of<'a>(plan: &'a LaunchPlan, name: &str) -> Option<&'a str> {
        let at = plan.arguments().iter().position(|argument| argument == name)?;
        plan.arguments().get(at + 1).map(String::as_str)
    }

    #[test]
    fn the_arguments_name_a_descriptor_a_socket_and_numbers() {
        let plan = plan(&settings()).unwrap();
        assert_eq!(value_of(&plan, "--model"), Some("/proc/self/fd/5"));
        assert_eq!(
            value_of(&plan, "--host"),
            Some("/run/user/1000/companion/default/runtime/runtime.sock")
        );
        assert_eq!(value_of(&plan, "--alias"), Some("smollm2-135m-instruct"));
        assert_eq!(value_of(&plan, "--ctx-size"), Some("4096"));
        assert_eq!(value_of(&plan, "--parallel"), Some("2"));
        assert_eq!(value_of(&plan, "--threads"), Some("3"));
        assert_eq!(value_of(&plan, "--cache-ram"), Some("512"));
        assert_eq!(value_of(&plan, "--sse-ping-interval"), Some("1"));
        assert_eq!(plan.max_data_bytes(), 8 << 30);
        assert_eq!((plan.model(), plan.runtime()), (confirmed().spec(), confirmed().spec()));
        assert!(matches!(plan.start_event(), Event::Start(_)));
    }

    /// Contract 9 and crates.md: what exposes files, tools, slots or pages is off.
    #[test]
    fn nothing_that_reads_files_runs_tools_or_proxies_is_switched_on() {
        let plan = plan(&settings()).unwrap();
        let arguments = plan.arguments();
        for off in ["--no-ui", "--no-agent", "--no-slots", "--offline", "--no-ui-mcp-proxy"] {
            assert!(arguments.iter().any(|argument| argument == off), "{off}");
        }
        for never in [
            "--tools",
            "--agent",
            "--props",
            "--slots",
            "--metrics",
            "--path",
            "--media-path",
            "--slot-save-path",
            "--models-dir",
            "--lora",
            "--mmproj",
            "--log-file",
            "--rpc",
            "--port",
            "--api-key",
            "--log-prompts-dir",
            "--verbose",
            "--hf-repo",
            "--model-url",
        ] {
            assert!(!arguments.iter().any(|argument| argument == never), "{never}");
        }
    }

    #[test]
    fn an_id_can_be_no_option_path_or_list() {
        for id in ["", "-m", "--tools", "a b", "a,b", "../x", "a/b", "é", "a\n", ".a", "_a"] {
            assert!(!is_artifact_id(id), "{id}");
            let refused = plan(&LaunchSettings { model_id: id, ..settings() });
            assert_eq!(refused.unwrap_err(), Reason::MalformedSpec, "{id}");
        }
        assert!(is_artifact_id(&"a".repeat(MAX_ID_BYTES)));
        assert!(!is_artifact_id(&"a".repeat(MAX_ID_BYTES + 1)));
    }

    #[test]
    fn a_socket_that_could_be_read_as_anything_else_is_refused() {
        let long = format!("/{}/runtime.sock", "x".repeat(100));
        for socket in ["runtime.sock", "127.0.0.1", "/tmp/x", "/tmp/a,b/r.sock", &long, ""] {
            let refused = plan(&LaunchSettings { socket: Path::new(socket), ..settings() });
            assert_eq!(refused.unwrap_err(), Reason::SpawnFailed, "{socket}");
        }
    }

    #[test]
    fn a_graphics_card_is_used_only_where_that_is_set() {
        let without = plan(&settings()).unwrap();
        assert!(!without.gpu() && !without.arguments().iter().any(|word| word.contains("gpu")));
        let with = plan(&LaunchSettings { gpu: true, ..settings() }).unwrap();
        assert!(with.gpu());
        let at = with.arguments().iter().position(|word| word == "--n-gpu-layers").unwrap();
        assert_eq!(with.arguments()[at + 1], ALL_LAYERS);
    }

    #[test]
    fn zeros_are_refused() {
        for zeroed in [
            LaunchSettings { context_length: 0, ..settings() },
            LaunchSettings { parallel: 0, ..settings() },
            LaunchSettings { threads: 0, ..settings() },
        ] {
            assert_eq!(plan(&zeroed).unwrap_err(), Reason::SpawnFailed);
        }
    }

    proptest! {
        #[test]
        fn no_id_adds_or_changes_another_argument(id in "\\PC{0,40}") {
            let usual = plan(&settings()).unwrap();
            if let Ok(other) = plan(&LaunchSettings { model_id: &id, ..settings() }) {
                let differing = usual.arguments().iter().zip(other.arguments());
                let differing: Vec<_> = differing.filter(|(a, b)| a != b).collect();
                prop_assert_eq!(usual.arguments().len(), other.arguments().len());
                prop_assert!(differing.len() <= 1);
                prop_assert!(!id.starts_with('-'));
            }
        }
    }
}
