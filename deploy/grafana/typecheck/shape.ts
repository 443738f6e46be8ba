// What a dashboard of ours may hold: the types of @grafana/schema, closed up where they are open.
//
// The package leaves a panel's options, its field's settings and its queries as "any record"; here
// each kind of panel has those of its own, so that a misspelt or unknown one is refused. The check is
// that the JSON, written as a literal of this type, compiles.
import type * as grafana from "@grafana/schema";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts";
import type * as statetimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.d.ts";
import type * as statushistory from "@grafana/schema/dist/esm/raw/composable/statushistory/panelcfg/x/StatusHistoryPanelCfg_types.gen.d.ts";
import type * as table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.d.ts";
import type * as text from "@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen.d.ts";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";

// As it stands in JSON: an enum's member is its text or its number.
type Json<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends ReadonlyArray<infer Item>
      ? Array<Json<Item>>
      : { [Key in keyof T]: Json<T[Key]> };

// @grafana/schema has no longer the query of Prometheus; these are its fields that we use.
interface PrometheusQuery extends Pick<grafana.DataQuery, "refId"> {
  datasource: grafana.DataSourceRef;
  expr: string;
  format: "time_series" | "table";
  instant: boolean;
  range: boolean;
  legendFormat?: string;
}

// Each panel says what it means and what to do.
type Common = Required<Pick<grafana.Panel, "id" | "title" | "description" | "gridPos">> &
  Pick<
    grafana.Panel,
    | "datasource"
    | "maxDataPoints"
    | "maxPerRow"
    | "repeat"
    | "repeatDirection"
    | "transformations"
    | "transparent"
  >;

type Of<Type extends string, Options, Custom> = Common & {
  type: Type;
  options: Options;
  targets: PrometheusQuery[];
  fieldConfig: {
    defaults: Omit<grafana.FieldConfig, "custom"> &
      Required<Pick<grafana.FieldConfig, "unit">> & { custom?: Partial<Custom> };
    overrides: grafana.FieldConfigSource["overrides"];
  };
};

type Panel =
  | Of<"stat", stat.Options, Record<string, never>>
  | Of<"state-timeline", statetimeline.Options, statetimeline.FieldConfig>
  | Of<"status-history", statushistory.Options, statushistory.FieldConfig>
  | Of<"table", Partial<table.Options>, table.FieldConfig>
  | Of<"timeseries", timeseries.Options, timeseries.FieldConfig>
  | (Common & { type: "text"; options: text.Options });

type Row = Pick<grafana.RowPanel, "type" | "title" | "collapsed" | "id" | "gridPos"> & {
  panels: Panel[];
};

// What Prometheus' data source reads of an annotation beside what all of them have.
type Annotation = Omit<grafana.AnnotationQuery, "target"> & {
  target: PrometheusQuery;
  titleFormat: string;
};

export type Dashboard = Json<
  Omit<grafana.Dashboard, "panels" | "annotations"> & {
    panels: Array<Row | Panel>;
    annotations: { list: Annotation[] };
  }
>;
