CREATE SCHEMA infra;

CREATE SCHEMA physical;

CREATE SCHEMA replay_backup;

CREATE TABLE infra.replay (
    run_tag character varying(512) NOT NULL,
    table_name character varying(512) NOT NULL,
    window_start timestamp without time zone NOT NULL,
    window_end timestamp without time zone NOT NULL,
    rows_deleted bigint NOT NULL,
    rows_inserted bigint NOT NULL,
    manifest_checksum character varying(64) NOT NULL,
    ts timestamp without time zone NOT NULL,
    backup character varying(300) DEFAULT ''::character varying NOT NULL,
    fingerprint character varying(128) DEFAULT ''::character varying NOT NULL
);

CREATE TABLE infra.table_version (
    name character varying(127),
    version integer,
    ts timestamp without time zone
);

CREATE TABLE physical.chat (
    "time" timestamp without time zone,
    text character varying(100)
);

CREATE TABLE physical.login (
    "time" timestamp without time zone,
    login character varying(20),
    n integer,
    rate double precision,
    ok boolean
);

CREATE TABLE replay_backup.loaded__chat (
    "time" timestamp without time zone,
    text character varying(100)
);

CREATE TABLE replay_backup.loaded__login (
    "time" timestamp without time zone,
    login character varying(20),
    n integer,
    rate double precision,
    ok boolean
);

CREATE TABLE replay_backup."undo-undone__chat" (
    "time" timestamp without time zone,
    text character varying(100)
);

CREATE TABLE replay_backup."undo-undone__login" (
    "time" timestamp without time zone,
    login character varying(20),
    n integer,
    rate double precision,
    ok boolean
);

CREATE TABLE replay_backup.undone__chat (
    "time" timestamp without time zone,
    text character varying(100)
);

CREATE TABLE replay_backup.undone__login (
    "time" timestamp without time zone,
    login character varying(20),
    n integer,
    rate double precision,
    ok boolean
);

INSERT INTO infra.replay VALUES ('loaded', 'chat', '2017-11-03 10:00:00', '2017-11-03 11:59:59', 1, 1, 'e19d8f4096854094ed42a5f3adf333614167e28b05a7e439dee26a39578f4ed5', '2026-11-27 18:13:59.501655', 'replay_backup.loaded__chat', '1:-7810192532489488513');
INSERT INTO infra.replay VALUES ('loaded', 'login', '2017-11-03 10:00:00', '2017-11-03 11:59:59', 2, 3, 'e19d8f4096854094ed42a5f3adf333614167e28b05a7e439dee26a39578f4ed5', '2026-11-27 18:13:59.584768', 'replay_backup.loaded__login', '3:-4802829008837398111');
INSERT INTO infra.replay VALUES ('undone', 'chat', '2017-11-03 12:00:00', '2017-11-03 12:59:59', 1, 1, 'cd3e06b4f8051a746635e8a0d29ce497a96f867c853608f8bb6bbe7f0444b4ff', '2026-11-27 18:14:49.657964', 'replay_backup.undone__chat', '1:-52457604997347285');
INSERT INTO infra.replay VALUES ('undone', 'login', '2017-11-03 12:00:00', '2017-11-03 12:59:59', 1, 1, 'cd3e06b4f8051a746635e8a0d29ce497a96f867c853608f8bb6bbe7f0444b4ff', '2026-11-27 18:14:49.667055', 'replay_backup.undone__login', '1:-2954178248030835653');
INSERT INTO infra.replay VALUES ('undo-undone', 'login', '2017-11-03 12:00:00', '2017-11-03 12:59:59', 1, 1, '', '2026-11-27 18:14:54.544577', 'replay_backup.undo-undone__login', '1:3928001724387198251');
INSERT INTO infra.replay VALUES ('undo-undone', 'chat', '2017-11-03 12:00:00', '2017-11-03 12:59:59', 1, 1, '', '2026-11-27 18:14:54.55205', 'replay_backup.undo-undone__chat', '1:3236494589432526899');

INSERT INTO infra.table_version VALUES ('login', 3, '2017-02-01 00:00:00');
INSERT INTO infra.table_version VALUES ('chat', 1, '2017-01-01 00:00:00');

INSERT INTO physical.chat VALUES ('2017-11-03 10:30:00', 'hello');
INSERT INTO physical.chat VALUES ('2017-11-03 12:30:00', 'old');

INSERT INTO physical.login VALUES ('2017-11-03 09:59:59', 'before', 1, 0.5, true);
INSERT INTO physical.login VALUES ('2017-11-03 14:00:00', 'after', 5, NULL, NULL);
INSERT INTO physical.login VALUES ('2017-11-03 10:00:00', 'ann', 1, 0.25, true);
INSERT INTO physical.login VALUES ('2017-11-03 11:45:00', 'zoë''\', NULL, NULL, NULL);
INSERT INTO physical.login VALUES ('2017-11-03 11:46:00', 'xxxxxxxxxxxxxxxxxxxx', 7, 1e+300, false);
INSERT INTO physical.login VALUES ('2017-11-03 12:15:00', 'old', 4, NULL, false);

INSERT INTO replay_backup.loaded__chat VALUES ('2017-11-03 10:30:00', 'wrong');

INSERT INTO replay_backup.loaded__login VALUES ('2017-11-03 10:00:00', 'wrong', 2, NULL, NULL);
INSERT INTO replay_backup.loaded__login VALUES ('2017-11-03 11:30:00', 'wrong', 3, NULL, NULL);

INSERT INTO replay_backup."undo-undone__chat" VALUES ('2017-11-03 12:20:00', 'again');

INSERT INTO replay_backup."undo-undone__login" VALUES ('2017-11-03 12:15:00', 'bob', 2, NULL, NULL);

INSERT INTO replay_backup.undone__chat VALUES ('2017-11-03 12:30:00', 'old');

INSERT INTO replay_backup.undone__login VALUES ('2017-11-03 12:15:00', 'old', 4, NULL, false);
