// Command podsecurity reads pods, as a JSON list of {"name", "metadata", "spec"}, and says what Pod Security's own evaluator, the one
// in the API server, has against each at level "restricted". It ends 1 when there is anything.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

type pod struct {
	Name     string            `json:"name"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     corev1.PodSpec    `json:"spec"`
}

func main() {
	var pods []pod
	if err := json.NewDecoder(os.Stdin).Decode(&pods); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(65)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(70)
	}
	refused := false
	for _, p := range pods {
		for _, version := range []api.Version{api.MajorMinorVersion(1, 25), api.LatestVersion()} {
			restricted := api.LevelVersion{Level: api.LevelRestricted, Version: version}
			for _, result := range evaluator.EvaluatePod(restricted, &p.Metadata, &p.Spec) {
				if !result.Allowed {
					refused = true
					fmt.Printf("%s: %s: %s: %s\n", p.Name, restricted, result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
		}
	}
	if refused {
		os.Exit(1)
	}
}
