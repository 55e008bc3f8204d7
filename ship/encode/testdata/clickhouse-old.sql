-- ClickHouse before 22.1: HEKA_ENDPOINT ends with ?insert_deduplication_token=
-- and SELECT … FINAL leaves out what came twice.
CREATE TABLE heka_metrics
(
    time_ms Int64,
    time DateTime MATERIALIZED toDateTime(intDiv(time_ms, 1000)),
    name String,
    kind String,
    unit String,
    value Float64,
    value_int Nullable(Int64),
    label_keys Array(String),
    label_values Array(String),
    resource_keys Array(String),
    resource_values Array(String),
    host String,
    agent_id String,
    start_ms Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (name, agent_id, label_keys, label_values, time_ms)
