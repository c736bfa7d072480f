//! The page: four files within this program, the same for everybody.

/// A part of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asset {
    path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: &'static str,
}

/// The part at this request target; a query is none of it.
pub(super) fn asset(target: &str) -> Option<Asset> {
    ASSETS.into_iter().find(|asset| asset.path == target)
}

const ASSETS: [Asset; 4] = [
    Asset {
        path: "/",
        content_type: "text/html; charset=utf-8",
        body: include_str!("page/index.html"),
    },
    Asset { path: "/page.js", content_type: "text/javascript; charset=utf-8", body: SCRIPT },
    Asset {
        path: "/page.css",
        content_type: "text/css; charset=utf-8",
        body: concat!(include_str!("page/base.css"), include_str!("page/parts.css")),
    },
    Asset { path: "/icon.svg", content_type: "image/svg+xml", body: include_str!("page/icon.svg") },
];

/// One module, whose parts share their names.
const SCRIPT: &str = concat!(
    include_str!("page/wire.js"),
    include_str!("page/dom.js"),
    include_str!("page/status.js"),
    include_str!("page/plots.js"),
    include_str!("page/work.js"),
    include_str!("page/models.js"),
    include_str!("page/account.js"),
    include_str!("page/chat.js"),
    include_str!("page/main.js"),
);

/// What the page may do: its own script, style, picture and calls; nothing inline, nothing from
/// elsewhere, in nobody's frame, and no text that becomes markup or code (W3C CSP 3, Trusted Types).
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; worker-src 'none'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_nothing_inline() {
        for asset in ASSETS {
            let text = asset.body.replace("http://www.w3.org/2000/svg", "");
            for outside in ["http:", "https:", "//cdn", "@import", "url(", "ws:"] {
                assert!(!text.contains(outside), "{}: {outside}", asset.path);
            }
        }
        let html = include_str!("page/index.html");
        for inline in ["<style", " style=", "javascript:", " onclick", " onload", "<script>"] {
            assert!(!html.contains(inline), "{inline}");
        }
    }

    #[test]
    fn text_becomes_neither_markup_nor_code() {
        for sink in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
        {
            assert!(!SCRIPT.contains(sink), "{sink}");
        }
    }

    #[test]
    fn the_page_keeps_its_key_in_memory_alone() {
        for store in ["localStorage", "sessionStorage", "indexedDB", "cookie", "caches"] {
            assert!(!SCRIPT.contains(store), "{store}");
        }
    }

    #[test]
    fn every_id_that_the_script_asks_for_is_in_the_page() {
        let html = include_str!("page/index.html");
        let asked: Vec<_> =
            SCRIPT.split("byId(\"").skip(1).filter_map(|s| s.split('"').next()).collect();
        assert!(asked.len() > 10);
        for id in asked {
            assert_eq!(html.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        }
    }

    #[test]
    fn every_part_of_the_page_has_a_name_to_be_read_out() {
        let html = include_str!("page/index.html");
        assert!(html.contains("<html lang=\"en\">") && html.contains("<main"));
        for tag in html.split('<').filter(|tag| tag.starts_with("section class=")) {
            assert!(tag.contains("aria-labelledby=") || tag.contains("role=\"alert\""), "{tag}");
        }
        for field in html.split("<textarea id=\"").skip(1).filter_map(|s| s.split('"').next()) {
            assert!(html.contains(&format!("for=\"{field}\"")), "{field}");
        }
        for picture in html.split("<img ").skip(1) {
            assert!(picture.split('>').next().is_some_and(|it| it.contains("alt=")));
        }
    }

    #[test]
    fn only_the_exact_paths_are_there() {
        assert!(asset("/").is_some() && asset("/page.js").is_some());
        for other in ["", "/?x", "//", "/page.js?", "/PAGE.JS", "/index.html", "/favicon.ico"] {
            assert_eq!(asset(other), None, "{other}");
        }
    }
}
