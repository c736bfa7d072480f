//! The form of a sign-in or consent page, filled in as the development user would.

use std::collections::HashMap;

use http::header::CONTENT_TYPE;
use url::{Url, form_urlencoded};

use super::Page;

/// What the development user types where a page asks for a name.
const NAME: &str = "development-user";

/// What the development user types where a page asks for a password.
const PASSWORD: &str = "development-password";

/// A filled form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Where it goes.
    pub(super) action: Url,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The first form of an HTML page, if it is one to POST to the page's own origin.
    pub(super) fn on(page: &Page) -> Option<Self> {
        let content_type = page.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        content_type.starts_with("text/html").then_some(())?;
        Self::in_html(&page.text(), &page.url)
    }

    fn in_html(html: &str, url: &Url) -> Option<Self> {
        let (_, rest) = html.split_once("<form")?;
        let (form, rest) = rest.split_once('>')?;
        let (inside, _) = rest.split_once("</form>")?;
        let form = attributes(form);
        let action = match form.get("action") {
            Some(action) => url.join(action).ok()?,
            None => url.clone(),
        };
        let posts = form.get("method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
        let inputs = inside.split("<input").skip(1).filter_map(|input| input.split_once('>'));
        let fields = inputs.filter_map(|(input, _)| filled(attributes(input))).collect();
        (posts && action.origin() == url.origin()).then_some(Self { action, fields })
    }

    /// Its body, `application/x-www-form-urlencoded`.
    pub(super) fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }
}

/// Name and value of an input; none for what is not sent.
fn filled(mut input: HashMap<String, String>) -> Option<(String, String)> {
    let name = input.remove("name")?;
    let value = match input.get("type").map(String::as_str) {
        Some("hidden") => input.remove("value").unwrap_or_default(),
        Some("password") => PASSWORD.to_owned(),
        None | Some("text" | "email") => NAME.to_owned(),
        Some(_) => return None,
    };
    Some((name, value))
}

/// The attributes with a double-quoted value in a tag.
fn attributes(tag: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        let name = before.split_whitespace().next_back().unwrap_or_default();
        found.insert(name.to_ascii_lowercase(), unescaped(value));
        rest = after;
    }
    found
}

fn unescaped(value: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(value.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::Form;

    const PAGE: &str = r#"<p>Sign in</p>
        <form autocomplete="off" action="/at/7?a=1&amp;b=2" method="post">
          <input type="hidden" name="prompt" value="log&quot;in"/>
          <input required type="text" name="login" placeholder="any">
          <input required type="password" name="password">
          <button type="submit">Sign-in</button>
        </form><form action="/other" method="post"></form>"#;

    fn form(html: &str) -> Option<Form> {
        Form::in_html(html, &Url::parse("https://gateway.localhost:1/at/7").unwrap())
    }

    #[test]
    fn the_first_form_is_filled_in() {
        let form = form(PAGE).unwrap();
        assert_eq!(form.action.as_str(), "https://gateway.localhost:1/at/7?a=1&b=2");
        assert_eq!(
            form.encoded(),
            "prompt=log%22in&login=development-user&password=development-password"
        );
    }

    #[test]
    fn a_page_without_a_form_to_post_to_its_own_origin_has_none() {
        for html in [
            "<p>You can close this window.</p>",
            "<form action=\"https://elsewhere.localhost/\" method=\"post\"></form>",
            "<form action=\"/search\"></form>",
            "<form action=\"/cut\" method=\"post\">",
        ] {
            assert_eq!(form(html), None, "{html}");
        }
    }
}
