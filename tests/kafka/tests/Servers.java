import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.utils.Utils;

/** Counts the brokers, and says where a producer would send a key. */
public class Servers {
    public static void main(String[] args) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            int brokers = admin.describeCluster().nodes().get().size();
            int partition = Utils.toPositive(Utils.murmur2("key".getBytes())) % Integer.parseInt(args[1]);
            System.out.println(brokers + " brokers, key in " + partition);
        }
    }
}
