import java.util.ArrayList;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Allows what its arguments say, all at once: USER/RESOURCE/NAME/PATTERN/OPERATION each. */
public class Acls {
    public static void main(String[] args) throws Exception {
        var all = new ArrayList<AclBinding>();
        for (int n = 1; n < args.length; n++) {
            var parts = args[n].split("/");
            var pattern = new ResourcePattern(ResourceType.fromString(parts[1]), parts[2],
                PatternType.fromString(parts[3]));
            all.add(new AclBinding(pattern, new AccessControlEntry("User:" + parts[0], "*",
                AclOperation.fromString(parts[4]), AclPermissionType.ALLOW)));
        }
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", args[0]))) {
            admin.createAcls(all).all().get();
        }
    }
}
