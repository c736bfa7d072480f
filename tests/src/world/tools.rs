//! A model that knows tools. The template of the small one does not, and then the runtime answers
//! in words even where a call is required.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use memchr::memmem;

/// Where a GGUF file keeps its chat template: this name, four bytes of type, eight of length.
const KEY: &[u8] = b"tokenizer.chat_template";
/// Chat as the model learned it. Its calls are bare JSON, and it is asked for one.
const TEMPLATE: &str = r#"{% for m in messages %}<|im_start|>{{m.role}}
{% if m.tool_calls %}{"name": "{{m.tool_calls[0].function.name}}", "parameters": {{m.tool_calls[0].function.arguments|tojson}}}{% else %}{{m.content}}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if tools %}{{tools|tojson}} The call in JSON:
{% endif %}{% endif %}"#;

/// Copies the model with the other template in the place of its own, filled up by a comment.
///
/// # Errors
/// When the template does not fit, or a file cannot be read or written.
pub(super) fn taught(model: &Path, copy: &Path) -> Result<()> {
    let mut bytes = fs::read(model)?;
    let length_at = memmem::find(&bytes, KEY).context("no template")? + KEY.len() + 4;
    let length = bytes[length_at..].first_chunk().context("cut short")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let room = length.checked_sub(TEMPLATE.len() + "{##}".len()).context("too long")?;
    let template = format!("{TEMPLATE}{{#{}#}}", " ".repeat(room));
    ensure!(template.len() == length, "it is moved");
    bytes[length_at + 8..][..length].copy_from_slice(template.as_bytes());
    Ok(fs::write(copy, bytes)?)
}
