"""Every code a check can emit, with its English sentence: what happened, why, what to do next.

Standard library only: the web process translates and renders these. `{names}` are the parameters of the message.
"""

from __future__ import annotations

from audits.checks.contract import Message

TEMPLATES: dict[str, str] = {
    # running
    "check_unknown": "There is no check named {check}. Correct the policy.",
    "check_version_unknown": "Check {check} was asked for in version {asked}, but version {installed} is installed."
    " Ask for the run again.",
    "check_crashed": "The check stopped with {exception} in {where}. No figure was kept; report this as a defect.",
    "check_out_of_memory": "The check needed more memory than it is allowed. Use fewer rows, or raise the limit.",
    "parameters_invalid": "The check's parameter {field} is not valid: {problem}. Correct the policy.",
    "result_not_json": "The check produced a value that cannot be kept ({type} at {path}). No figure was kept; report"
    " this as a defect.",
    "material_missing": "The check needs the {role} file, and none was declared for this version.",
    # data zones
    "withheld_in_zone": "It stays in the zone {zone}: it rests on fewer than {k} rows or would tell of so few, or it is"
    " the value of a single row.",
    "kept_in_zone": "{count} parts of this result stay in the zone {zone}: what could tell of fewer than {k} rows.",
    "errored_in_zone": "The check failed in the zone {zone}, and why cannot be told outside it.",
    # declared semantics
    "semantics_missing": "The version does not declare {field}. Declare it and register the version again.",
    "semantics_invalid": "The version declares {field} as {value}, which is not understood. Correct it and register"
    " the version again.",
    "split_not_by_time": "The version declares that evaluation comes after training, and {rows} evaluation rows are not"
    " later than the last training row.",
    "split_not_by_entity": "The version declares that no entity is in both data sets, and {rows} evaluation rows are"
    " about one that training has.",
    "no_sensitive_columns": "Neither the version nor the policy names a sensitive column, so there are no groups to"
    " compare. Declare at least one.",
    # data files
    "data_format_unsupported": "The {role} data is in the format {format}, which no check reads. Use csv, parquet or"
    " parquet-folder.",
    "datasets_differ": "The {role} data sets differ in their columns: {columns}. Register them with the same ones.",
    "data_empty": "The {role} data has no rows.",
    "data_too_large": "The {role} data announces {rows} rows; the limit is {limit} cells in all.",
    "csv_not_utf8": "The {role} data is not UTF-8 at line {line}. Save it as UTF-8.",
    "csv_not_encoded": "The {role} data cannot be read as {encoding} (byte {position}). Declare the encoding it has.",
    "csv_dialect_unknown": "The {role} data is declared with {field} {value}, which is not understood.",
    "csv_decimal_mixed": "Column {column} of the {role} data holds numbers with a decimal point, and the declared"
    " decimal mark is a comma.",
    "parquet_parts_differ": "The parts of the {role} data differ in their columns: {part} has others than the first.",
    "csv_not_text": "The {role} data is not text: there is a null byte at line {line}.",
    "csv_ragged": "Line {line} of the {role} data has {found} fields where the header has {expected}. Correct the"
    " file.",
    "csv_malformed": "The {role} data cannot be read as CSV at line {line}: {problem}.",
    "csv_unparsed": "The {role} data cannot be read as CSV ({problem}).",
    "csv_no_header": "The first line of the {role} data is all numbers: it seems to have no header. Add column names.",
    "column_name_blank": "Column {position} of the {role} data has no name. If it is an index, write the file without"
    " it.",
    "column_name_padded": "The name of column {position} ({column}) of the {role} data has blanks around it. Remove"
    " them.",
    "column_duplicated": "The {role} data has more than one column named {columns}. Rename or remove them.",
    "parquet_unreadable": "The {role} data cannot be read as Parquet ({problem}). Was it cut short on its way?",
    "parquet_nested": "Column {column} of the {role} data holds lists or structures. Flatten it.",
    "column_missing": "The data has no column {columns}, which {reader} needs.",
    "column_not_finite": "Column {column} contains infinite values. Correct them or mark them as missing.",
    "entity_key_missing": "The entity key {column} has empty cells in the {role} data.",
    # target
    "target_missing": "The {role} data has no column {column}, which is declared as the target.",
    "target_missing_values": "The target {column} is empty in {rows} rows of the {role} data. Remove those rows or"
    " fill them.",
    "target_not_categorical": "The target {column} of the {role} data has {count} different values: too many for"
    " classes. Is the task a regression?",
    "target_not_numeric": "The target {column} of the {role} data is not a number, as a regression needs.",
    "target_single_class": "The target {column} of the {role} data has {count} class(es): nothing can be told apart.",
    "target_is_a_number": "The target {column} is a number, so the {role} data has no classes to balance.",
    "target_too_large": "The target {column} of the {role} data holds numbers beyond 1e150, whose squares no computer"
    " holds. Give it in another unit.",
    "prediction_too_large": "The model predicts numbers beyond 1e150 in {rows} rows, whose squares no computer holds.",
    "target_constant": "The target is the same in every row, so the figure has no meaning.",
    "label_unknown_to_model": "The target {column} of the {role} data contains {labels}, which the model never"
    " learned (it knows {classes}).",
    "labels_ambiguous": "Two classes of the model read the same ({labels}). Train it with distinct labels.",
    # model
    "model_format_unsupported": "Model files in the format {format} cannot be run by a check.",
    "model_unreadable": "The model file cannot be read as {format} ({problem}). Is it complete, and is the format"
    " right?",
    "model_untrusted_types": "The model file contains types that are not scikit-learn's, NumPy's or SciPy's own:"
    " {types}. They are not loaded.",
    "model_version_mismatch": "The model was saved with scikit-learn {written_with} and cannot be used with"
    " {read_with}. Save it again with {read_with}.",
    "library_version_mismatch": "The model was saved with {library} {written_with} and cannot be used with"
    " {read_with}. Save it again with {read_with}.",
    "model_task_differs": "The task is declared {declared}, and the model file holds a {found} model.",
    "model_objective_unsupported": "The model was trained for the objective {objective}, which no check understands.",
    "model_categories_unknown": "The model file does not say which of its columns are categories ({columns}).",
    "classes_undeclared": "The {format} file does not say which output stands for which label. Declare classes, in the"
    " order of the model's outputs.",
    "classes_declared_differ": "{declared} classes are declared, and the model has {found} outputs.",
    "onnx_external_data": "The ONNX model keeps tensors in other files. Save it as one file.",
    "onnx_type_unsupported": "The ONNX model takes inputs of the type {types}, which no check can give.",
    "onnx_shape_unsupported": "The ONNX model takes {inputs} input(s) of a shape that is not rows and columns.",
    "mlflow_undescribed": "The MLmodel file of the MLflow folder cannot be read ({problem}).",
    "mlflow_flavour_unsupported": "The MLflow folder has no flavour that a check reads: {flavours}. Read are sklearn,"
    " xgboost, lightgbm and onnx.",
    "mlflow_pickle_undeclared": "The MLflow folder holds a pickle, which can run code. Declare the format {format}, if"
    " the policy accepts it, or log the model with skops.",
    "archive_unreadable": "The {role} is not an archive that can be read ({problem}).",
    "archive_too_large": "The {role} archive holds {members}, the limit is {limit}.",
    "archive_member_missing": "The {role} archive has no {name}.",
    "model_not_an_estimator": "The model file holds a {type}, which cannot predict.",
    "model_features_unknown": "The model does not name its input columns, and the data offers {found} where it"
    " expects {expected}. Train it on a table with named columns.",
    "model_has_no_classes": "The model ({type}) names no classes, so its answers cannot be matched with the declared"
    " labels. Is the task a regression?",
    "model_not_binary": "The task is declared binary, and the model knows {count} classes: {classes}.",
    "model_classes_mismatch": "The declared {field} {label} is not among the model's classes ({classes}).",
    "model_lacks_output": "The version needs the output {output}, and the model has no {method}.",
    "model_cannot_predict": "The model failed on the data ({problem} in {method}).",
    "model_rejects_missing": "The model failed on the data ({problem} in {method}), which has empty cells in"
    " {columns}. Fill them, or train a model that accepts them.",
    "model_rejects_text": "The model failed on the data ({problem} in {method}). These inputs hold text: {columns}."
    " If one should be a number, look for a cell that is not.",
    "model_gives_no_scores": "The model gives no probability or score (declared output: {output}), so this cannot be"
    " computed.",
    "prediction_not_finite": "The model's answer is not a finite number in {rows} rows.",
    "prediction_not_numeric": "The model's {method} does not answer with numbers.",
    "prediction_shape": "The model answered in the shape {found} where {expected} was expected.",
    "prediction_unknown_label": "The model answered {labels}, which is not among its classes ({classes}).",
    "probability_out_of_range": "The model's probabilities lie outside 0 to 1 in {rows} rows.",
    # quality
    "columns_all_missing": "In the {role} data these columns are entirely empty: {columns}.",
    "columns_constant": "In the {role} data these columns have the same value in every row: {columns}.",
    "columns_infinite": "In the {role} data these columns contain infinite values: {columns}.",
    "column_only_in": "Column {column} is in the {role} data only.",
    "column_kind_differs": "Column {column} is {training} in the training data and {evaluation} in the evaluation"
    " data.",
    # evaluation
    "claimed_metric_invalid": "The claimed value of {metric} is not a finite number. Correct it and register the"
    " version again.",
    "claimed_metric_unknown": "The claim about {metric} could not be checked: it is not a metric computed here.",
    "claimed_metric_undefined": "The claim about {metric} could not be checked: it is undefined on the evaluation"
    " data.",
    "claim_differs": "{metric} was claimed as {claimed} and measured as {found}: more than {tolerance} apart.",
    "nothing_claimed": "The version claims no metric that is computed here.",
    "nothing_predicted_positive": "The model never answers with the positive label, so there is no precision.",
    "nothing_truly_positive": "No row has the positive label, so there is no recall.",
    "class_without_rows": "{metric} is undefined: a class has no rows to divide by.",
    "one_class_only": "Only one class occurs, so rows cannot be ranked.",
    # bias
    "sensitive_missing": "The {role} data has no column {column}, which is declared sensitive.",
    "sensitive_not_numeric": "Bins are declared for the sensitive column {column}, which is not numeric.",
    "sensitive_needs_bins": "The sensitive column {column} has {count} different numbers (limit {limit}). Declare"
    " bins for it.",
    "sensitive_all_missing": "The sensitive column {column} is empty in every row.",
    "too_many_groups": "{column} makes {count} groups (limit {limit}). Declare bins, or merge categories.",
    "group_without_rows": "Nobody in the data is in the group {group} of {attribute}, so nothing is said about it.",
    "group_excluded": "{attribute} = {group} is left out of the comparison: {n} rows ({positives} positive,"
    " {negatives} negative) are fewer than {minimum}.",
    "groups_excluded": "{groups} groups of {attribute} with {rows} rows in all are left out of the comparison: each"
    " has fewer than {minimum} rows.",
    "fewer_than_two_groups": "{attribute}: only {groups} group(s) can be compared ({excluded} left out as too small),"
    " so there is no disparity to state.",
    "ratio_of_zeros": "{attribute}: {metric} is undefined because the rate is 0 in every group.",
    "rate_undefined": "{metric} is undefined in the group {group}: there is no row to divide by.",
    "rate_left_out": "{attribute}: {metric} is undefined in {groups}, left out of what compares it.",
    "not_a_model_input": "{column} is not an input of the model. It can still act through other columns.",
    "attribute_constant": "{column} has one value only, so it cannot be exchanged for another.",
    "group_left_out": "{attribute} = {group} is left out of the comparison: {n} rows are fewer than {minimum}.",
    "prediction_constant": "{metric} is undefined: the model predicts the same for every row.",
    "no_other_inputs": "The model has no input other than {column}, so there is nothing that could stand in for it.",
    # leakage, time and columns out of step
    "target_leaks": "The model's input {columns} is the target {target} itself, or stands one to one with it in the"
    " {role} data, so no figure of this model means anything. Remove it and train again.",
    "column_near_target": "In the {role} data column {column} goes with the target almost one to one ({value} of 1)."
    " Is it known before the target is?",
    "nothing_to_associate": "No column of the {role} data can be compared with the target {column}.",
    "time_unreadable": "The time column {column} is empty or no time in {rows} rows of the {role} data. Use ISO 8601"
    " (2026-03-31T12:00:00Z).",
    "time_is_a_number": "The time column {column} of the {role} data holds plain numbers, so its age in days is"
    " unknown.",
    "newest_row_in_the_future": "The newest row of the {role} data ({column}) is later than {as_of}, so it has no age.",
    "unknown_level": "Column {column} of the evaluation data has categories that the training data never had:"
    " {levels} ({rows} rows).",
    "columns_reordered": "These columns stand in another order than they were learned in: {columns}.",
    "rule_broken": "Column {column} of the {role} data breaks the rule {rule} in {rows} rows.",
    # drift
    "column_kind_differs_from_reference": "Column {column} held numbers in the reference and does not now, so the two"
    " cannot be compared.",
    "sketch_unreadable": "The stored sketch of the reference data cannot be read. Make it again from the data.",
    "sketch_without_groups": "The reference is a stored sketch, which knows no groups: drift is told for all rows"
    " together only.",
    "reference_is_sketch": "The training data themselves could not be read: the reference is their stored sketch.",
    "reference_without_attribute": "The stored sketch of the reference has no groups of {attribute}: it was not"
    " declared sensitive with the data, or its values make no groups.",
    "reference_bins_differ": "The stored sketch of the reference has other bins for {attribute} than are declared"
    " here.",
    "group_not_in_reference": "{attribute} = {group} ({n} rows) is left out: the reference tells of no group of"
    " fewer than {minimum} rows.",
    "group_with_others": "In the reference, {attribute} = {group} also counts fewer than {minimum} rows of groups too"
    " small to be told of.",
    "only_sketched": "Of the {role} data there is a stored sketch only, from which this check cannot be computed.",
    "sketch_too_large": "The sketch is larger than {limit_bytes} bytes: too many columns or sensitive groups.",
    "sketch_too_few_rows": "The data have fewer than {minimum} rows, too few for a sketch that tells of nobody.",
    "sketch_tells_too_much": "The sketch that was made has cells of fewer than {minimum} rows. It is not stored.",
    "drift_column_empty": "Column {column} is empty in the {role} data, so its drift is undefined.",
    "no_group_large_enough": "{attribute}: no group has {minimum} rows in both data sets.",
    "too_few_windows": "{rows} rows ordered by {column} make fewer than two windows; at least {minimum} are needed.",
    # robustness
    "no_numeric_inputs": "The model has no numeric input to disturb by {disturbance}.",
    # privacy
    "direct_identifiers": "In the {role} data these columns name a person: {columns}. Remove them, or replace them by a"
    " key.",
    "special_undeclared": "In the {role} data these columns hold data of a special category and are not declared"
    " sensitive: {columns}.",
    "no_quasi_identifiers": "The {role} data has no column that would single people out together with others.",
    # explainability
    "not_additive": "No explanation adds up to the model's own output (off by {error}, allowed {tolerance}).",
    "route_not_attributable": "The route {route} was not used: the inputs it sees cannot be traced to single columns,"
    " or have empty cells.",
    "route_not_additive": "The route {route} was discarded: its attributions miss the model's own output by {error}.",
    "route_failed": "The route {route} was not used: the explainer failed on this model ({problem}).",
    "rows_reduced": "{rows} rows were explained instead of {asked}: the route {route} is costly for this model.",
    "background_reduced": "The background has {rows} rows instead of {asked}: the route {route} is costly for this"
    " model.",
    "sampled_attribution": "Attributions are sampled (route {route}); the largest standard error of one is {error}.",
    "record_column_missing": "The record lacks {columns}, which the model takes. Give every input; null where it is"
    " missing.",
    "record_type_differs": "The record's {column} is of another type than in the training data ({expected}).",
    "record_level_unknown": "The record's {column} has a value that is not in the training data.",
    "record_columns_ignored": "{count} field(s) of the record are no inputs of the model and were ignored.",
    "model_ignores_inputs": "The model's output does not depend on its inputs, so there is nothing to share out.",
}


def english(message: Message) -> str:
    """The sentence in English. A code this version does not know is shown as it is, never lost."""
    template = TEMPLATES.get(message.code)
    if template is None:
        return message.code
    try:
        return template.format_map(message.params)
    except (KeyError, IndexError, ValueError):
        return f"{message.code} {message.params}"
