//! The JSON Schema of a results file, made from the types that read it: what it allows is what the reader takes.
//!
//! Descriptions are the documentation of the types, in the words of JSON. A check that takes more than a schema (that a scenario
//! makes sense, that a histogram is one) is the reader's alone.

use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};

use super::Results;

/// The schema, of draft 2020-12.
#[must_use]
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let reworded = RecursiveTransform(|schema: &mut Schema| {
        if let Some(serde_json::Value::String(text)) = schema.get_mut("description") {
            *text = in_words_of_json(text);
        }
    });
    settings.with_transform(reworded).into_generator().into_root_schema_for::<Results>()
}

/// Documentation as a description: what is `None` in Rust is null in JSON, and there are no links. Lines of a paragraph are joined.
fn in_words_of_json(documentation: &str) -> String {
    let text = documentation.replace("[`Self::", "`").replace("[`", "`").replace("`]", "`");
    let paragraphs: Vec<_> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    paragraphs.join("\n\n").replace(". `None`", ". Null").replace("`None`", "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_becomes_a_description() {
        for (documentation, description) in [
            ("The median.", "The median."),
            (
                "A time; `None` where there is\nnone. `None` too where [`Self::because`] says why.",
                "A time; null where there is none. Null too where `because` says why.",
            ),
            ("One.\n\nAnother, as\n[`Median`].", "One.\n\nAnother, as `Median`."),
        ] {
            assert_eq!(in_words_of_json(documentation), description);
        }
    }

    #[test]
    fn nothing_of_rust_is_left_in_the_schema() {
        let schema = serde_json::to_string(&schema()).unwrap();
        for words in ["[`", "`]", "None`", "Self::", "Recorded", "Option<"] {
            assert!(!schema.contains(words), "{words}");
        }
    }
}
