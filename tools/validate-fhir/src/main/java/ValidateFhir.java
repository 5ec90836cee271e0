import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.CodeSystem;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r4.model.ValueSet;

/**
 * The artefacts (first folder) and what is emitted (second): snapshots are what their differentials give, no resource has
 * an error, and each bad example has the one that its README states. Counts by type; exit code 1 if anything is wrong.
 */
public class ValidateFhir {
  private static final FhirContext CONTEXT = FhirContext.forR4();
  private static final PrePopulatedValidationSupport OWN = new PrePopulatedValidationSupport(CONTEXT);
  private static int wrong = 0;

  public static void main(String[] folders) throws IOException {
    Path artefacts = Path.of(folders[0]);
    Path bad = artefacts.resolve("examples/bad");
    List<Path> good = new ArrayList<>(files(artefacts));
    good.removeIf(file -> file.startsWith(bad));
    for (Path file : good) {
      var resource = CONTEXT.newJsonParser().parseResource(Files.readString(file));
      if (resource instanceof CodeSystem system) OWN.addCodeSystem(system);
      if (resource instanceof ValueSet set) OWN.addValueSet(set);
      if (resource instanceof StructureDefinition profile) OWN.addStructureDefinition(profile);
    }
    good.addAll(files(Path.of(folders[1])));
    checkSnapshots(artefacts.resolve("profiles"));
    FhirValidator validator = validator();
    Map<String, Integer> counts = new TreeMap<>();
    for (Path file : good) {
      String text = Files.readString(file);
      counts.merge(CONTEXT.newJsonParser().parseResource(text).fhirType(), 1, Integer::sum);
      for (String error : errors(validator, text)) say(file, error);
    }
    int refused = checkBad(validator, bad);
    System.out.println("HAPI instance validator: " + counts + ", " + refused + " bad examples, " + wrong + " errors");
    System.exit(wrong == 0 ? 0 : 1); // HAPI leaves threads behind
  }

  private static List<Path> files(Path folder) throws IOException {
    try (Stream<Path> found = Files.walk(folder)) {
      return found.filter(path -> path.toString().endsWith(".json")).sorted().toList();
    }
  }

  private static FhirValidator validator() {
    var unknown = new UnknownCodeSystemWarningValidationSupport(CONTEXT);
    unknown.setNonExistentCodeSystemSeverity(ca.uhn.fhir.context.support.IValidationSupport.IssueSeverity.WARNING);
    return CONTEXT.newValidator().registerValidatorModule(new FhirInstanceValidator(new ValidationSupportChain(
        new DefaultProfileValidationSupport(CONTEXT), OWN, new InMemoryTerminologyServerValidationSupport(CONTEXT),
        new CommonCodeSystemsTerminologyService(CONTEXT), new SnapshotGeneratingValidationSupport(CONTEXT), unknown)));
  }

  private static void checkSnapshots(Path folder) throws IOException {
    Snapshots snapshots = new Snapshots(CONTEXT);
    for (Path file : Snapshots.profiles(folder)) {
      if (!snapshots.renewed(file).equals(Files.readString(file))) {
        say(file, "its snapshot is not what its differential gives: run make snapshots");
      }
    }
  }

  /** Reads the table of the README: file, what is wrong, who refuses it, and words of every error it may have. */
  private static int checkBad(FhirValidator validator, Path folder) throws IOException {
    int refused = 0;
    for (String line : Files.readAllLines(folder.resolve("README.md"))) {
      if (!line.startsWith("| `")) continue;
      String[] cells = line.substring(2).split(" \\| ");
      Path file = folder.resolve(cells[0].replace("`", ""));
      boolean ours = cells[2].equals("HAPI");
      String words = cells[3].replace("`", "").replace(" |", "");
      List<String> errors = errors(validator, Files.readString(file));
      if (ours == errors.isEmpty()) say(file, ours ? "is not refused" : "is refused: " + errors);
      for (String error : errors) if (ours && !error.contains(words)) say(file, "not '" + words + "' but " + error);
      refused++;
    }
    return refused;
  }

  private static List<String> errors(FhirValidator validator, String text) {
    return validator.validateWithResult(text).getMessages().stream()
        .filter(message -> message.getSeverity().ordinal() >= ResultSeverityEnum.ERROR.ordinal())
        .map(message -> message.getLocationString() + ": " + message.getMessage()).toList();
  }

  private static void say(Path file, String what) {
    wrong++;
    System.out.println(file + ": " + what);
  }
}
