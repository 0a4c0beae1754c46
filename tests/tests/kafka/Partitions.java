import java.util.Base64;
import java.util.Random;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;

/** Where a producer sends keys of many lengths and all bytes: key, number of partitions, partition. */
public class Partitions {
    public static void main(String[] args) {
        var random = new Random(42);
        for (int n = 0; n < 2000; n++) {
            var key = new byte[n % 50];
            random.nextBytes(key);
            int partitions = 1 + random.nextInt(n % 2 == 0 ? 12 : 10_000);
            int chosen = BuiltInPartitioner.partitionForKey(key, partitions);
            System.out.println(Base64.getEncoder().encodeToString(key) + " " + partitions + " " + chosen);
        }
    }
}
