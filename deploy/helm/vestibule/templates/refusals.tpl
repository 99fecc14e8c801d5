{{/* What no release may be made of, with what to do instead. */}}
{{- define "vestibule.refusals" -}}
{{- $config := include "vestibule.parsed" . | fromJson }}
{{- $server := $config.server | default dict }}
{{- if not $config }}
{{- fail "config is missing: write the configuration of vestibule, as one TOML text or as a map (values.yaml tells more)" }}
{{- end }}
{{- if not $server.public_url }}
{{- fail "config: server.public_url is missing: write the origin that browsers use, such as https://wiki.example.com" }}
{{- end }}
{{- if hasKey $server "listen" }}
{{- fail "config: server.listen is the chart's (port 4180): remove it" }}
{{- end }}
{{- if hasKey ($config.admin | default dict) "listen" }}
{{- fail "config: admin.listen is the chart's (port 4181): remove it" }}
{{- end }}
{{- range $name, $provider := $config.provider }}
{{- if kindIs "string" ($provider.client_secret | default dict) }}
{{- fail (printf "config: provider.%s.client_secret is written out, and a ConfigMap is no place for a secret: write { file = \"/run/secrets/vestibule/client_secret\" } and name the Secret in existingSecret" $name) }}
{{- end }}
{{- include "vestibule.placeholder" (dict "key" (printf "config: provider.%s.client_id" $name) "value" $provider.client_id) }}
{{- end }}
{{- range ($config.session | default dict).keys }}
{{- if kindIs "string" . }}
{{- fail "config: a session key is written out, and a ConfigMap is no place for a secret: write keys = [{ file = \"/run/secrets/vestibule/session_key\" }] and name the Secret in existingSecret" }}
{{- end }}
{{- end }}
{{- include "vestibule.placeholder" (dict "key" "existingSecret" "value" .Values.existingSecret) }}
{{- if and (not .Values.existingSecret) (not .Values.extraEnv) (not .Values.extraVolumes) }}
{{- fail (printf "existingSecret is missing: make a Secret and name it: kubectl create secret generic %s --namespace %s --from-file=client_secret --from-file=session_key (`vestibule keys new > session_key` makes the key)" (include "vestibule.fullname" .) .Release.Namespace) }}
{{- end }}
{{- if and (not .Values.existingSecret) (contains "/run/secrets/vestibule/" (include "vestibule.config" .)) (not (contains "/run/secrets/vestibule" (toJson .Values.extraVolumeMounts))) }}
{{- fail "config names files in /run/secrets/vestibule, and existingSecret, which is mounted there, is missing" }}
{{- end }}
{{- $many := ternary (gt (int .Values.autoscaling.maxReplicas) 1) (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled }}
{{- $shared := eq (($config.session | default dict).store | default "cookie") "redis" }}
{{- if and $many (not $shared) (not .Values.stickySessions) }}
{{- fail "more than one replica needs sticky sessions: each keeps sign-outs and renewals in its memory. Let the balancer in front send each person to the same pod and write stickySessions: true, or replicaCount: 1 without autoscaling" }}
{{- end }}
{{- end }}

{{/* Words that stand for a value that nobody has written yet. */}}
{{- define "vestibule.placeholder" -}}
{{- if regexMatch "(?i)^(x{3,}|<.*>|change[-_ ]?(me|it)|replace[-_ ]?(me|this)|to[-_ ]?do|placeholder|your[-_ ].*)$" (toString (.value | default "")) }}
{{- fail (printf "%s is the placeholder %q: write the real one" .key .value) }}
{{- end }}
{{- end }}
