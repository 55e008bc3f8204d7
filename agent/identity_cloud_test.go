package agent_test

import (
	"strings"
	"testing"
)

func TestCloud(t *testing.T) {
	const azure = "7783-7084-3265-9085-8269-3286-77"
	const uuid = "12345678-90AB-CDEF-1234-567890abcdef\n"
	for name, c := range map[string]struct {
		dmi  map[string]string
		vars map[string]string
		want string
	}{
		"EC2":                {dmi: map[string]string{"sys_vendor": "Amazon EC2\n", "product_name": "m7g.2xlarge\n", "board_asset_tag": "i-0abc1234def567890\n"}, want: "aws aws_ec2 i-0abc1234def567890 m7g.2xlarge"},
		"EC2, metal":         {dmi: map[string]string{"sys_vendor": "Amazon EC2", "product_name": "u-6tb1.metal", "board_asset_tag": "i-0abc1234"}, want: "aws aws_ec2 i-0abc1234 u-6tb1.metal"},
		"EC2 without a tag":  {dmi: map[string]string{"sys_vendor": "Amazon EC2", "product_name": "Not Specified", "board_asset_tag": "Not Specified"}, want: "aws aws_ec2 machine "},
		"EC2, Xen":           {dmi: map[string]string{"sys_vendor": "Xen", "product_name": "HVM domU", "bios_version": "4.11.amazon"}, want: "aws aws_ec2 machine "},
		"Xen of one's own":   {dmi: map[string]string{"sys_vendor": "Xen", "product_name": "HVM domU", "bios_version": "4.11"}, want: "  machine "},
		"Fargate":            {dmi: map[string]string{"sys_vendor": "Amazon EC2", "product_name": "c5.large", "board_asset_tag": "i-0abc1234def567890"}, vars: map[string]string{"AWS_EXECUTION_ENV": "AWS_ECS_FARGATE"}, want: "aws aws_ecs machine "},
		"GCE":                {dmi: map[string]string{"sys_vendor": "Google", "product_name": "Google Compute Engine\n"}, want: "gcp gcp_compute_engine machine "},
		"a Chromebook":       {dmi: map[string]string{"sys_vendor": "Google", "product_name": "Eve"}, want: "  machine "},
		"Azure, EFI":         {dmi: map[string]string{"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": azure + "\n", "product_uuid": uuid, "../../../firmware/efi/x": ""}, want: "azure azure_vm 12345678-90ab-cdef-1234-567890abcdef "},
		"Azure, BIOS":        {dmi: map[string]string{"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": azure, "product_uuid": uuid}, want: "azure azure_vm 78563412-ab90-efcd-1234-567890abcdef "},
		"Azure, not root":    {dmi: map[string]string{"chassis_asset_tag": azure}, want: "azure azure_vm machine "},
		"Hyper-V":            {dmi: map[string]string{"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine", "chassis_asset_tag": "1111", "product_uuid": uuid}, want: "  machine "},
		"a board of its own": {dmi: map[string]string{"sys_vendor": "Dell Inc.", "product_name": "PowerEdge", "board_asset_tag": "i-0abc1234def567890"}, want: "  machine "},
		"no DMI":             {want: "  machine "},
	} {
		files := map[string]string{"sys/x": ""}
		for file, text := range c.dmi {
			files["sys/class/dmi/id/"+file] = text
		}
		tree := hostTree(t, files)
		vars := map[string]string{"HOST_SYS": tree + "/sys", "HOST_ETC": hostTree(t, map[string]string{"machine-id": machineID})}
		for key, text := range c.vars {
			vars[key] = text
		}
		id, _ := identify(t, vars)
		var got []string
		for _, key := range []string{"cloud.provider", "cloud.platform", "host.id", "host.type"} {
			text, _, _ := strings.Cut(valueOf(id, key), " (")
			got = append(got, strings.ReplaceAll(text, machineID, "machine"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
