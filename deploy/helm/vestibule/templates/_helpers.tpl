{{- define "vestibule.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vestibule.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "vestibule.selectorLabels" -}}
app.kubernetes.io/name: {{ include "vestibule.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vestibule.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "vestibule.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "vestibule.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "vestibule.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "vestibule.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The configuration as a map, as JSON: what the chart itself has to know of it. */}}
{{- define "vestibule.parsed" -}}
{{- if kindIs "string" .Values.config }}
{{- $parsed := fromToml .Values.config }}
{{- if and (hasKey $parsed "Error") (kindIs "string" $parsed.Error) }}
{{- fail (printf "config is no TOML: %s" $parsed.Error) }}
{{- end }}
{{- toJson $parsed }}
{{- else }}
{{- toJson .Values.config }}
{{- end }}
{{- end }}

{{/* The configuration as TOML text: as it was written, or the map. */}}
{{- define "vestibule.config" -}}
{{- if kindIs "string" .Values.config }}
{{- .Values.config | trim }}
{{- else }}
{{- include "vestibule.toml.table" (dict "at" "" "table" .Values.config) | trim }}
{{- end }}
{{- end }}

{{/* A table: its own keys, then the tables in it. */}}
{{- define "vestibule.toml.table" -}}
{{- $at := .at }}
{{- range $key, $value := .table }}
{{- if and (not (kindIs "map" $value)) (not (kindIs "invalid" $value)) }}
{{ include "vestibule.toml.key" $key }} = {{ include "vestibule.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $path := printf "%s%s" (ternary "" (printf "%s." $at) (eq $at "")) (include "vestibule.toml.key" $key) }}

[{{ $path }}]
{{- include "vestibule.toml.table" (dict "at" $path "table" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "vestibule.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* A value. Numbers of values files are floating-point, and TOML tells 80 from 80.0. */}}
{{- define "vestibule.toml.value" -}}
{{- if kindIs "map" . }}{ {{- $first := true }}{{ range $key, $value := . }}{{ if not $first }},{{ end }} {{ include "vestibule.toml.key" $key }} = {{ include "vestibule.toml.value" $value }}{{ $first = false }}{{ end }} }
{{- else if kindIs "slice" . }}[{{ range $at, $value := . }}{{ if $at }}, {{ end }}{{ include "vestibule.toml.value" $value }}{{ end }}]
{{- else if and (kindIs "float64" .) (eq (float64 (int64 .)) .) }}{{ int64 . }}
{{- else }}{{ toJson . }}
{{- end }}
{{- end }}
