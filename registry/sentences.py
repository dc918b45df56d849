"""Every message code and every verb of this package, as sentences. Never remove one: old events still say it."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "name_invalid": _(
        "The name {name} is not accepted: lower case letters, digits, dot, underscore and hyphen, at most 200."
    ),
    "upload_digest_mismatch": _(
        "The bytes that arrived have the digest {found}, not the announced {expected}. Send the file again."
    ),
    "dataset_name_taken": _("The name {name} is taken. Choose another one."),
    "zone_unknown": _(
        "There is no data zone {zone} here. Known: {known}. Whoever runs Crivo sets them up (CRIVO_ZONES)."
    ),
    "zone_missing": _("A smallest cell belongs to a data zone: name the zone as well."),
    "smallest_cell_invalid": _("A smallest cell has from {least} to {most} rows."),
    "zone_upload_refused": _(
        "What is in the data zone {zone} is not sent here. Register it by its URI in the zone and its digest."
    ),
    "zone_columns_missing": _(
        "Nobody outside the data zone {zone} looks into the data: declare its columns in metadata.columns."
    ),
    "column_not_in_data": _("The column {column} is not in {dataset}. It has: {known}."),
    "same_content_other_declaration": _(
        "The same content is registered as {version}, with other sensitive columns declared."
    ),
    "sensitive_column_not_declared": _(
        "{dataset} declares {column} as sensitive: say in metadata.sensitive how the model uses it."
    ),
    "dataset_version_unknown": _("There is no dataset version {reference}. Register it first."),
    "dataset_format_unknown": _("The data format {format} is not known. Known: {known}."),
    "parquet_folder_expected": _(
        "This is no folder of Parquet files packed as a zip: it does not begin with PK."
    ),
    "dialect_unknown": _("The dialect of a CSV holds separator, decimal and encoding. Known here: {known}."),
    "parquet_expected": _("This is no Parquet file: it does not begin with PAR1."),
    "upload_csv_empty": _("The CSV file is empty: a header line with column names is expected."),
    "upload_csv_no_rows": _("The CSV file has a header and no rows."),
    "upload_csv_row_length": _(
        "Line {line} of the CSV file has {found} cells where the header has {expected}."
    ),
    "upload_csv_column_without_name": _("Column {position} of the CSV file has no name."),
    "upload_csv_duplicate_column": _("The CSV file has two columns named {column}."),
    "upload_csv_too_many_columns": _("The CSV file has {columns} columns; at most {limit} are accepted."),
    "upload_csv_not_text": _("The CSV file is not UTF-8 text (near byte {position} of a block)."),
    "upload_csv_unreadable": _("The CSV file cannot be read: {reason}."),
    "metadata_missing": _("The metadata must declare {name}."),
    "metadata_invalid": _("The metadata is not valid: {reason}"),
    "lock_unreadable": _("The environment lock cannot be read: {reason}. Understood are: {known}."),
    "lock_not_declared": _(
        "This lock has the digest {found}; the version declares {expected} as that of its environment."
    ),
    "sketch_taken_over": _("Another worker has taken over the making of this sketch."),
    "author_unknown": _("The author {name} is not known here, or nobody stands behind this token."),
    "lineage_not_an_object": _("A lineage event is a JSON object."),
    "lineage_names_nothing": _("The lineage event names no job, run or dataset."),
    "lineage_schema_url_missing": _("The event has no schemaURL; accepted."),
    "lineage_nul_replaced": _("The event had NUL characters; they were replaced."),
    "lineage_number_as_text": _(
        "The event had numbers that JSON cannot carry exactly; they are kept as text."
    ),
    "lineage_event_time_missing": _("The event has no readable eventTime; the time of arrival was taken."),
    "lineage_time_zone_missing": _("The eventTime has no time zone; UTC was assumed."),
    "node_unknown": _("There is no lineage node {node}."),
    "depth_invalid": _("depth is a whole number from 1 to {limit}."),
    "direction_invalid": _("direction is up, down or both."),
}

VERBS = {
    "dataset.registered": _("{actor} registered the dataset {subject}"),
    "dataset_version.registered": _("{actor} registered the dataset version {subject}"),
    "model.registered": _("{actor} registered the model {subject}"),
    "model_version.registered": _("{actor} registered the model version {subject}"),
    "environment_lock.kept": _("{actor} kept the environment lock of {subject}"),
    "reference_sketch.requested": _("{actor} asked for the reference sketch of {subject}"),
    "reference_sketch.kept": _("{actor} kept the reference sketch of {subject}"),
    "reference_sketch.failed": _("{actor} could not make the reference sketch of {subject}"),
    "lineage.recorded": _("{actor} recorded lineage of run {subject}"),
}
